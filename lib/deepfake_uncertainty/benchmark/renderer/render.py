"""The renderer of the benchmark: one synthetic person, one performance, one camera, and the truth.

Random draws derive from the number of the person and from the seed of the world, which fixes a
population of people.
"""

from typing import Any, NamedTuple

import numpy as np

from deepfake_uncertainty.benchmark.renderer import (
    camera,
    face_texture,
    head,
    mesh,
    performance,
    shading,
    skin,
    voice,
)
from deepfake_uncertainty.errors import InputError

FPS = 25.0
SCALE = 0.345  # a head radius as a share of the frame's height
# The generators whose weights ship with the library were trained on the people of this world.
LEARNING_WORLD = 1000
# Each part of a clip has random draws of its own; the order fixes their seeds.
PARTS = ("person", "texture", "motion", "scene", "noise", "speaker", "voice")
# The order of the keys of a clip's truth, and so of the arrays in the file that holds it.
TRUTH = ("pulse", "pose", "heart_rate", "landmarks", "visible", "landmark_names", "face_mask",
         "expression", "parameters", "sound")  # fmt: skip
Streams = dict[str, np.random.Generator]


class Clip(NamedTuple):
    """A rendered clip: frames uint8 (F, H, W, 3) RGB and the truth about them.

    The keys of `truth` are pulse (F,), heart_rate (bpm), landmarks (F, K, 2) px, landmark_names,
    visible bool (F, K), face_mask bool (F, H, W), pose (F, 3) in radians, expression (F, 5),
    parameters (JSON-able) and, for a clip with sound, sound float32 (S,).
    """

    frames: np.ndarray
    truth: dict[str, Any]


def _streams(number: int, seed: int) -> Streams:
    if number < 0 or seed < 0:
        raise InputError(f"person number={number} of world seed={seed}: give number, seed >= 0")
    return {part: np.random.default_rng([seed, number, k]) for k, part in enumerate(PARTS)}


def person(number: int, seed: int) -> dict[str, Any]:
    """Return person `number` of the world `seed` as a JSON-able dict.

    The keys are number, seed, tone, age, shape, speaker and those of `skin.appearance`. Skin
    tones are stratified: persons 6k to 6k + 5 have the tones 1 to 6 in a shuffled order.
    Raises InputError for a negative number or seed.
    """
    rngs = _streams(number, seed)
    tone = 1 + int(np.random.default_rng([seed, number // 6, 99]).permutation(6)[number % 6])
    age = float(rngs["person"].triangular(18, 25, 78))
    look, shape = skin.appearance(rngs["person"], tone, age), head.shape(rngs["person"], age)
    # Only masculine faces have a beard or heavy brows, and these get a male voice.
    speaker = voice.speaker(rngs["speaker"], look["beard"] != "none" or look["brow"] > 0.9)
    body = dict(tone=tone, age=age, shape=shape, speaker=speaker._asdict())
    return dict(number=number, seed=seed, **body, **look)


def render_clip(
    number: int,
    seed: int,
    n_frames: int = 160,
    fps: float = FPS,
    size: int = 128,
    sound: bool = True,
) -> Clip:
    """Return the `Clip` of person `number` of the world `seed`, with `sound` or silent.

    `size` is the frame's side in px. The same arguments give the same bytes. Raises InputError
    for values out of range.
    """
    if n_frames < 1 or size < 32 or fps <= 0 or number < 0 or seed < 0:
        given = f"number={number}, seed={seed}, n_frames={n_frames}, fps={fps}, size={size}"
        wanted = "give number, seed >= 0, n_frames >= 1, fps > 0 and size >= 32"
        raise InputError(f"render_clip({given}): {wanted}")
    rngs, subject = _streams(number, seed), person(number, seed)
    act = performance.perform(rngs["motion"], n_frames, fps)
    truth = {name: act[name] for name in ("pulse", "pose", "heart_rate", "expression")}
    frames, seen = _shoot(Stage(subject, subject["shape"], rngs, size), act, rngs["noise"])
    truth |= seen | dict(parameters=dict(subject, fps=float(fps), size=size))
    if sound:
        speaker = voice.Speaker(**subject["speaker"])
        truth["sound"] = voice.voice(act["expression"], fps, rngs["voice"], speaker)
    return Clip(frames, {name: truth[name] for name in TRUTH if name in truth})


class Stage:
    """One person in front of one camera: everything that is the same in all frames."""

    def __init__(
        self, person: dict[str, Any], shape: dict[str, float], rngs: Streams, size: int
    ) -> None:
        self.size, self.scale = size, SCALE * size
        self.texture, self.lids = face_texture.make_textures(person, rngs["texture"])
        self.surface = head.surface(shape, skin.hair_volume(person))
        self.moves, self.marks = head.expressions(shape), head.landmark_vertices()
        self.triangles = mesh.triangles()
        self.coordinates = mesh.texture_coordinates(skin.SIZE)
        scene = rngs["scene"]
        self.light, self.lens = camera.light(scene), camera.sensor(scene)
        self.background = camera.background(scene, size)
        self.body = camera.body(scene, person, shape, size, self.scale)
        self.body[..., :3] *= self.light["colour"] * np.float32(self.light["ambient"] + 0.4)

    def shoot(
        self, act: dict[str, Any], k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return linear RGB (H, W, 3), face mask (H, W), landmarks (K, 2) px and visibility (K,).

        They are those of frame k of the performance `act`.
        """
        turn, shift = mesh.rotation(*act["pose"][k]).astype(np.float32), act["shift"][k]
        vertices = mesh.deform(self.surface, self.moves, act["expression"][k].astype(np.float32))
        normals = mesh.rotate(mesh.mesh_normals(vertices), turn)
        turned = mesh.rotate(vertices.reshape(-1, 3), turn)
        pixels = mesh.project(turned, shift, self.size, self.scale)
        fine = pixels * np.array([shading.OVERSAMPLE, shading.OVERSAMPLE, 1], np.float32)
        hits = mesh.rasterise(fine, self.triangles, self.size * shading.OVERSAMPLE)
        surface = shading.Surface(
            self.triangles, normals, self.coordinates, self.texture, self.lids
        )
        layer, face = shading.shade(*hits, surface, self._lighting(act, k))
        centre = [0, (mesh.CENTRE - 0.5) * self.size]
        offset = (0.6 * shift * self.scale + centre).astype(np.float32)
        image = shading.compose(self.background, self.body, layer, offset)
        points = pixels[self.marks]
        return image, face, points[:, :2], normals[self.marks, 2] > 0.1

    def _lighting(self, act: dict[str, Any], k: int) -> shading.Lighting:
        light = self.light
        return shading.Lighting(
            light["direction"],
            np.float32(light["ambient"]),
            light["colour"],
            np.float32(act["pulse"][k]),
            np.float32(act["blink"][k]),
            skin.HAEMOGLOBIN,
        )


def _shoot(
    stage: Stage, act: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the frames of a whole performance and what the camera knows of them."""
    n, size, names = len(act["pose"]), stage.size, list(head.LANDMARKS)
    frames = np.empty((n, size, size, 3), np.uint8)
    masks = np.empty((n, size, size), bool)
    points = np.empty((n, len(names), 2), np.float32)
    visible = np.empty(points.shape[:2], bool)
    for k in range(n):
        linear, masks[k], points[k], visible[k] = stage.shoot(act, k)
        frames[k] = camera.expose(rng, linear, stage.lens)
    return frames, dict(landmarks=points, visible=visible, landmark_names=names, face_mask=masks)
