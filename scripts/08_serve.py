"""Search a folder of sounds in the browser: serves a page until Ctrl-C.

Reads   a folder of sounds (--audio; any format, sub-folders too), a model (--model)
Writes  an index of the folder: <output_path>/indexes/, or --index DIR; shared with script 07; in it
        failed_files.csv, if sound files cannot be used

    python scripts/08_serve.py --audio my_sounds/ --open
    python scripts/08_serve.py --audio my_sounds/ --port 9000

The page is available on this machine only, unless --host names another address; then a token is
needed. All that the page does, programs can do too: /api/v1/openapi.json describes how. What an
index has can be searched at once; the folder is looked through meanwhile, and again when the page
asks for it.
Exit status: 0 when stopped, 2 for bad input.
"""

import argparse
import contextlib
from functools import partial
from pathlib import Path

import start

from utils.runtime import distributed
from utils.search.command_line import add_options, open_searcher, report, report_library
from utils.settings import options


def main(argv: list[str] | None = None) -> int:
    """Serve the page until it is stopped."""
    args = parse_arguments(argv)
    distributed.refuse_team("scripts/08_serve.py")
    from utils.search.web.guard import LOOPBACK
    from utils.search.web.server import address_of, listen, open_in_browser, serve
    from utils.search.web.token_gate import choose_token, leading_to, link_with, require_token

    token = choose_token(args.token, args.token_file, open_to_all=args.no_token)
    if args.host not in LOOPBACK and not (token or args.no_token):
        raise require_token(args.host)
    listener = listen(args.host, args.port)  # first, because the rest is slow
    address = address_of(listener, args.host)
    if args.host not in LOOPBACK and not token:
        report(
            f"warning: on {args.host}, everybody who can reach this machine can listen to the "
            "sounds, upload clips and change collections; there is no token."
        )
    from utils.search.web.app import create_app
    from utils.search.web.service import Service

    searcher = open_searcher(args, known_first=True)
    told = partial(report_library, searcher, list_all=args.list_skipped)
    service = Service(searcher, updated=told)

    link = link_with(address, token)

    def ready() -> None:
        print(f"{link}   (Ctrl-C stops)", flush=True)
        if args.open:
            open_in_browser(opened.enter_context(leading_to(link)) if token else link)

    app = create_app(service, host=args.host, token=token)
    # Ctrl-C stops the server.
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as opened:
        serve(app, listener, ready=ready)
    service.updates.stop()
    report("\nstopped")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser(__doc__)
    add_options(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8000,
        help="port to listen on (default: %(default)s; 0 picks a free one)",
    )
    allowed = parser.add_mutually_exclusive_group()
    allowed.add_argument(
        "--token",
        help="what browsers and programs need to be answered; other users of this machine can see "
        "it, unlike that of --token-file or of the environment variable AUDIO_RETRIEVAL_TOKEN",
    )
    allowed.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with the token alone"
    )
    allowed.add_argument(
        "--no-token", action="store_true", help="answer everybody who can reach this machine"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser.parse_args(argv)


if __name__ == "__main__":
    start.run(main)
