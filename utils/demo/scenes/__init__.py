"""Scenes of synthetic sound events: drawing, rendering, tagging, describing and storing them."""

from utils.demo.scenes.captions import describe_scene
from utils.demo.scenes.demo_set import DEFAULT_CLIPS, DEFAULT_SEED, DemoSetReport, write_demo_set
from utils.demo.scenes.layouts import AUDIOCAPS, CLOTHO, HARD
from utils.demo.scenes.scene import Event, Scene, render_scene, sample_scene, scene_tags

__all__ = [
    "AUDIOCAPS",
    "CLOTHO",
    "DEFAULT_CLIPS",
    "DEFAULT_SEED",
    "HARD",
    "DemoSetReport",
    "Event",
    "Scene",
    "describe_scene",
    "render_scene",
    "sample_scene",
    "scene_tags",
    "write_demo_set",
]
