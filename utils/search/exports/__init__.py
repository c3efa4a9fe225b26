"""What was found, for other programs: tables, playlists, edit lists, and folders of sounds."""
