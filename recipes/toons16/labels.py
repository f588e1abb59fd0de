"""The label vocabulary of toons16 and the DiceBear colour each label sets.

A picture has three labels: its class (a DiceBear style), its background and its main colour. Both colours are ours, set
through the style's own options, so every label is exact.
"""

SUBJECTS: dict[str, tuple[str, ...]] = {  # style -> the options that take the main colour
    "critters": ("bodyColor",),
    "clay": ("bodyColor",),
    "sprouts": ("potColor",),
    "planets": ("planetColor",),
    "landscape": ("hill2Color", "hill3Color"),
    "voxel-art": ("shirtColor",),
    "voxel-bot": ("bodyColor",),
    "pixel-art": ("clothingColor",),
    "open-peeps": ("clothingColor",),
    "thumbs": ("shapeColor",),
    "moods": ("faceColor",),
    "marbles": ("sphereColor",),
    "stack": ("stoneMidColor",),
    "cutouts": ("paperFaceColor",),
    "pixelbot": ("glowColor",),
    "gaze": ("bodyColor",),
}
BACKGROUNDS: dict[str, str] = {
    "pink": "#ffc9d6",
    "blue": "#a9dcf5",
    "purple": "#c4b2e8",
    "green": "#bfe8c0",
    "yellow": "#fbe6a2",
    "orange": "#ffcfa3",
    "white": "#f5f3ee",
    "navy": "#1f2544",
}
COLORS: dict[str, str] = {
    "red": "#e5484d",
    "orange": "#f58634",
    "yellow": "#f7c934",
    "green": "#46b04a",
    "teal": "#1fa8a0",
    "blue": "#3b7ff0",
    "purple": "#8b5cd6",
    "pink": "#ee6fae",
    "brown": "#9a6440",
    "white": "#eceae4",
}
COUNTS = (len(SUBJECTS), len(BACKGROUNDS), len(COLORS))
DIMMED = frozenset({"pixelbot"})  # a screen of glowing dots: its background is drawn at a quarter of the brightness
