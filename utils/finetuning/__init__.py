"""PaSST, MPNet and the dual encoder trained together, from sounds and captions, on Lightning."""
