"""Renderer of SynthFF: one synthetic person, one performance, one camera, and the truth about them."""

from typing import NamedTuple

import numpy as np
from numba import njit

from deepfake_uncertainty.benchmark import camera, head, motion, skin, voice
from deepfake_uncertainty.benchmark.mesh import (
    CENTRE,
    chart,
    deform,
    mesh_normals,
    project,
    rasterise,
    rotate,
    rotation,
    triangles,
)
from deepfake_uncertainty.errors import InputError

SCALE = 0.345  # A head radius as a share of the frame's height.
OVERSAMPLE = 2  # Samples a pixel along each side, every other one of them taken: soft silhouettes at half the cost.


class Clip(NamedTuple):
    """Frames uint8 (F, H, W, 3) RGB and `truth`: pulse (F,), heart_rate (bpm), landmarks (F, K, 2) px, landmark_names,
    visible (F, K) bool, face_mask (F, H, W) bool, pose (F, 3) radians, expression (F, 5), sound float32 (S,) or none,
    parameters (JSON-able)."""

    frames: np.ndarray
    truth: dict


def _streams(number, seed):
    if number < 0 or seed < 0:
        raise InputError(f"person number={number} of world seed={seed}: give number, seed >= 0")
    return {part: np.random.default_rng([seed, number, k]) for k, part in enumerate(PARTS)}


def person(number, seed):
    """Return person `number` of the world `seed`: a JSON-able dict of number, seed, tone, age, shape, speaker, looks.

    Skin tones are stratified: persons 6k to 6k + 5 have the tones 1 to 6 in a shuffled order. Raises InputError.
    """
    rngs = _streams(number, seed)
    tone = 1 + int(np.random.default_rng([seed, number // 6, 99]).permutation(6)[number % 6])
    age = float(rngs["person"].triangular(18, 25, 78))
    look, shape = skin.look(rngs["person"], tone, age), head.shape(rngs["person"], age)
    # Beards and heavy brows are painted on masculine looks only: those get a male voice.
    speaker = voice.speaker(rngs["speaker"], look["beard"] != "none" or look["brow"] > 0.9)
    return dict(number=number, seed=seed, tone=tone, age=age, shape=shape, speaker=speaker._asdict(), **look)


def render_clip(number, seed, n_frames=160, fps=25.0, size=128, sound=True):
    """Render person `number` of the world `seed` as a `Clip`, with `sound` or silent; the same arguments, the same bytes."""
    if n_frames < 1 or size < 32 or fps <= 0 or number < 0 or seed < 0:
        raise InputError(
            f"render_clip(number={number}, seed={seed}, n_frames={n_frames}, fps={fps}, size={size}): "
            "give number, seed >= 0, n_frames >= 1, fps > 0 and size >= 32"
        )
    rngs, who = _streams(number, seed), person(number, seed)
    act = motion.perform(rngs["motion"], n_frames, fps)
    stage = Stage(who, who["shape"], rngs, size)
    frames = np.empty((n_frames, size, size, 3), np.uint8)
    masks = np.empty((n_frames, size, size), bool)
    points = np.empty((n_frames, len(head.LANDMARKS), 2), np.float32)
    visible = np.empty(points.shape[:2], bool)
    for k in range(n_frames):
        linear, masks[k], points[k], visible[k] = stage.shoot(act, k)
        frames[k] = camera.expose(rngs["noise"], linear, stage.lens)
    truth = dict(pulse=act["pulse"], pose=act["pose"], heart_rate=act["heart_rate"], landmarks=points, visible=visible,
                 landmark_names=list(head.LANDMARKS), face_mask=masks, expression=act["expression"],
                 parameters=dict(who, fps=float(fps), size=size))  # fmt: skip
    if sound:
        truth["sound"] = voice.voice(act["expression"], fps, rngs["voice"], voice.Speaker(**who["speaker"]))
    return Clip(frames, truth)


PARTS = ("person", "paint", "motion", "scene", "noise", "speaker", "voice")


class Stage:
    """One person before one camera: all that stays the same from frame to frame."""

    def __init__(self, person, shape, rngs, size):
        self.size, self.scale = size, SCALE * size
        self.texture, self.lids = skin.paint(person, rngs["paint"])
        self.surface, self.moves = head.surface(shape, skin.hair_volume(person)), head.expressions(shape)
        self.triangles, self.marks, self.chart = triangles(), head.landmark_vertices(), chart(skin.SIZE)
        scene = rngs["scene"]
        self.light, self.lens = camera.light(scene), camera.sensor(scene)
        self.room = camera.room(scene, size)
        self.body = camera.body(scene, person, shape, size, self.scale)
        lit = self.light["colour"] * np.float32(self.light["ambient"] + 0.4)
        self.body[..., :3] *= lit

    def shoot(self, act, k):
        """Return frame k: linear RGB (H, W, 3), face mask (H, W), landmarks (K, 2) px and their visibility (K,)."""
        turn, shift = rotation(*act["pose"][k]).astype(np.float32), act["shift"][k]
        vertices = deform(self.surface, self.moves, act["expression"][k].astype(np.float32))
        normals = rotate(mesh_normals(vertices), turn)
        pixels = project(rotate(vertices.reshape(-1, 3), turn), shift, self.size, self.scale)
        layers = rasterise(pixels * np.float32([OVERSAMPLE, OVERSAMPLE, 1]), self.triangles, self.size * OVERSAMPLE)
        way = self.light
        layer, face = shade(*layers, self.triangles, normals, self.chart, self.texture, self.lids, way["direction"],
                            np.float32(way["ambient"]), way["colour"], np.float32(act["pulse"][k]),
                            np.float32(act["blink"][k]), skin.HAEMOGLOBIN.astype(np.float32))  # fmt: skip
        offset = (0.6 * shift * self.scale + [0, (CENTRE - 0.5) * self.size]).astype(np.float32)
        image = compose(self.room, self.body, layer, offset)
        points = pixels[self.marks]
        return image, face, points[:, :2], normals[self.marks, 2] > 0.1


@njit(cache=True, nogil=True)
def sample(texture, x, y, out):
    """Read `texture` (S, S, C) at (x, y) texels by bilinear interpolation into `out` (C,)."""
    i, j, one = min(int(y), texture.shape[0] - 2), min(int(x), texture.shape[1] - 2), np.float32(1)
    s, t = np.float32(x - j), np.float32(y - i)
    a, b, c, d = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    for k in range(4):  # A number that the compiler knows is unrolled: both maps have so many channels.
        out[k] = a * texture[i, j, k] + b * texture[i, j + 1, k] + c * texture[i + 1, j, k] + d * texture[i + 1, j + 1, k]
    for k in range(4, texture.shape[2]):
        out[k] = a * texture[i, j, k] + b * texture[i, j + 1, k] + c * texture[i + 1, j, k] + d * texture[i + 1, j + 1, k]


@njit(cache=True, nogil=True)
def close(texel, lid, blink):
    """Draw the eyelid `lid` (4,) over `texel` (6,), both read from `skin.paint`, at closure `blink`."""
    cover = min(max((blink - lid[3]) / np.float32(0.15), np.float32(0)), np.float32(1))
    for k in range(3):
        texel[k] += cover * (lid[k] - texel[k])
    texel[4] *= 1 - cover


@njit(cache=True, nogil=True, fastmath=True)
def shade(index, weights, triangles, normals, chart, texture, lids, towards, ambient, tint, beat, blink, absorption):
    """Return the head as (H, W, 4) linear RGB (premultiplied) and coverage, and where its face is (H, W) bool.

    `index` and `weights` come from `rasterise`, `chart` (N, 2) says where each vertex lies in `texture` and `lids`.
    """
    size, one = index.shape[0] // OVERSAMPLE, np.float32(1)
    layer, hits = np.zeros((size, size, 4), np.float32), np.zeros((size, size), np.float32)
    texel, lid = np.empty(6, np.float32), np.empty(4, np.float32)
    hx, hy, hz = towards[0], towards[1], towards[2] + one
    hx, hy, hz = np.array([hx, hy, hz]) / np.sqrt(hx * hx + hy * hy + hz * hz)
    share, base, sky = np.float32(2.0 / OVERSAMPLE**2), np.float32(0.85) * ambient, np.float32(0.15) * ambient
    for y in range(index.shape[0]):
        for x in range(y % 2, index.shape[1], 2):
            if index[y, x] < 0:
                continue
            i, j, k = y // OVERSAMPLE, x // OVERSAMPLE, index[y, x]
            a, b, c = triangles[k, 0], triangles[k, 1], triangles[k, 2]
            p, q = weights[y, x, 0], weights[y, x, 1]
            r = one - p - q
            nx = p * normals[a, 0] + q * normals[b, 0] + r * normals[c, 0]
            ny = p * normals[a, 1] + q * normals[b, 1] + r * normals[c, 1]
            nz = p * normals[a, 2] + q * normals[b, 2] + r * normals[c, 2]
            unit = one / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
            tx = p * chart[a, 0] + q * chart[b, 0] + r * chart[c, 0]
            ty = p * chart[a, 1] + q * chart[b, 1] + r * chart[c, 1]
            sample(texture, tx, ty, texel)
            if blink > 0 and lids[int(ty), int(tx), 3] < 1:
                sample(lids, tx, ty, lid)
                close(texel, lid, blink)
            lambert = unit * (nx * towards[0] + ny * towards[1] + nz * towards[2])
            diffuse = (one - ambient) * max((lambert + np.float32(0.3)) / np.float32(1.3), np.float32(0))
            glint = max(unit * (nx * hx + ny * hy + nz * hz), np.float32(0)) ** 4
            shine = texel[4] * glint * (glint * glint) ** 2  # The 20th power.
            lit = base - sky * ny * unit + diffuse
            for k in range(3):
                layer[i, j, k] += share * tint[k] * (texel[k] * (one - texel[3] * beat * absorption[k]) * lit + shine)
            layer[i, j, 3] += share
            hits[i, j] += share * texel[5]
    return layer, hits > 0.5


@njit(cache=True, nogil=True, fastmath=True)
def compose(room, body, layer, offset):
    """Return the picture (H, W, 3): head `layer` over `body` (moved by `offset` px) over `room`.

    The whole body moves alike, so one set of bilinear weights serves all pixels; opaque pixels of the head hide it.
    """
    size, image, one = room.shape[0], room.copy(), np.float32(1)
    margin = (body.shape[0] - size) / 2
    dx, dy = min(max(margin - offset[0], 0), 2 * margin - 1), min(max(margin - offset[1], 0), 2 * margin - 1)
    left, top = int(dx), int(dy)
    s, t = np.float32(dx - left), np.float32(dy - top)
    w00, w01, w10, w11 = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    for y in range(size):
        i = y + top
        for x in range(size):
            behind, j = one - layer[y, x, 3], x + left
            if behind > 0:
                cover = w00 * body[i, j, 3] + w01 * body[i, j + 1, 3] + w10 * body[i + 1, j, 3] + w11 * body[i + 1, j + 1, 3]
                for k in range(3):
                    cloth = w00 * body[i, j, k] + w01 * body[i, j + 1, k] + w10 * body[i + 1, j, k] + w11 * body[i + 1, j + 1, k]
                    image[y, x, k] = layer[y, x, k] + behind * (image[y, x, k] * (one - cover) + cloth * cover)
            else:
                for k in range(3):
                    image[y, x, k] = layer[y, x, k]
    return image
