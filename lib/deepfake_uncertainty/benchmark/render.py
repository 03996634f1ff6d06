"""Renderer of SynthFF: one synthetic person, one performance, one camera, and the truth about them."""

from typing import NamedTuple

import numpy as np
from numba import njit

from deepfake_uncertainty.benchmark import camera, head, motion, skin
from deepfake_uncertainty.errors import InputError

SCALE = 0.345  # A head radius as a share of the frame's height.
CENTRE = 0.48
OVERSAMPLE = 2  # Samples a pixel along each side, every other one of them taken: soft silhouettes at half the cost.


class Clip(NamedTuple):
    """Frames uint8 (F, H, W, 3) RGB and `truth`: pulse (F,), heart_rate (bpm), landmarks (F, K, 2) px, landmark_names,
    visible (F, K) bool, face_mask (F, H, W) bool, parameters (JSON-able)."""

    frames: np.ndarray
    truth: dict


def render_clip(number, seed, n_frames=160, fps=25.0, size=128):
    """Render person `number` of the world `seed` as a `Clip`; the same arguments give the same bytes.

    Skin tones are stratified: persons 6k to 6k + 5 have the tones 1 to 6 in a shuffled order. Raises InputError.
    """
    if n_frames < 1 or size < 32 or fps <= 0 or number < 0 or seed < 0:
        raise InputError(
            f"render_clip(number={number}, seed={seed}, n_frames={n_frames}, fps={fps}, size={size}): "
            "give number, seed >= 0, n_frames >= 1, fps > 0 and size >= 32"
        )
    rngs = {part: np.random.default_rng([seed, number, k]) for k, part in enumerate(PARTS)}
    tone = 1 + int(np.random.default_rng([seed, number // 6, 99]).permutation(6)[number % 6])
    age = float(rngs["person"].triangular(18, 25, 78))
    person, shape = skin.look(rngs["person"], tone, age), head.shape(rngs["person"], age)
    act = motion.perform(rngs["motion"], n_frames, fps)
    stage = Stage(person, shape, rngs, size)
    frames = np.empty((n_frames, size, size, 3), np.uint8)
    masks = np.empty((n_frames, size, size), bool)
    points = np.empty((n_frames, len(head.LANDMARKS), 2), np.float32)
    visible = np.empty(points.shape[:2], bool)
    for k in range(n_frames):
        linear, masks[k], points[k], visible[k] = stage.shoot(act, k)
        frames[k] = camera.expose(rngs["noise"], linear, stage.lens)
    parameters = dict(number=number, seed=seed, tone=tone, age=age, fps=float(fps), size=size, shape=shape, **person)
    truth = dict(pulse=act["pulse"], heart_rate=act["heart_rate"], landmarks=points, visible=visible,
                 landmark_names=list(head.LANDMARKS), face_mask=masks, parameters=parameters)  # fmt: skip
    return Clip(frames, truth)


PARTS = ("person", "paint", "motion", "scene", "noise")


class Stage:
    """One person before one camera: all that stays the same from frame to frame."""

    def __init__(self, person, shape, rngs, size):
        self.size, self.scale = size, SCALE * size
        self.texture, self.lids = skin.paint(person, rngs["paint"])
        self.surface, self.moves = head.surface(shape, skin.hair_volume(person)), head.expressions(shape)
        self.triangles, self.marks = triangles(), head.landmark_vertices()
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
        normals = mesh_normals(vertices) @ turn.T
        world = vertices.reshape(-1, 3) @ turn.T
        pixels = project(world, shift, self.size, self.scale)
        layers = rasterise(pixels * np.float32([OVERSAMPLE, OVERSAMPLE, 1]), self.triangles, self.size * OVERSAMPLE)
        way = self.light
        layer, face = shade(*layers, self.triangles, normals, self.texture, self.lids, way["direction"],
                            np.float32(way["ambient"]), way["colour"], np.float32(act["pulse"][k]),
                            np.float32(act["blink"][k]), skin.HAEMOGLOBIN.astype(np.float32))  # fmt: skip
        offset = (0.6 * shift * self.scale + [0, (CENTRE - 0.5) * self.size]).astype(np.float32)
        image = compose(self.room, self.body, layer, offset)
        points = pixels[self.marks]
        return image, face, points[:, :2], normals[self.marks, 2] > 0.1


def triangles():
    """Return the triangles of the head's mesh, (M, 3) int32 flat vertex indices."""
    index = np.arange(head.ROWS * head.COLUMNS, dtype=np.int32).reshape(head.ROWS, head.COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    upper, lower = np.stack([a, b, c], -1), np.stack([b, d, c], -1)
    return np.concatenate([upper.reshape(-1, 3), lower.reshape(-1, 3)])


def rotation(yaw, pitch, roll):
    """Return the matrix (3, 3) that turns the head by yaw, pitch and roll, radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return tilt @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def project(world, shift, size, scale):
    """Return perspective pixel coordinates and depth (N, 3) float32 of points `world` (N, 3); small depth is near."""
    near = camera.FOCAL / (camera.FOCAL - world[:, 2])
    x = (world[:, 0] + shift[0]) * near * scale + 0.5 * size
    y = (world[:, 1] + shift[1]) * near * scale + CENTRE * size
    return np.stack([x, y, -world[:, 2]], 1).astype(np.float32)


def deform(surface, moves, weights):
    """Return the surface (R, C, 3) moved by expressions `moves` (E, R, C, 3) with `weights` (E,)."""
    return surface + np.einsum("e,erck->rck", weights, moves)


@njit(cache=True, nogil=True)
def mesh_normals(vertices):
    """Return unit normals (R * C, 3) that face outwards, by central differences over the mesh (R, C, 3)."""
    rows, columns, _ = vertices.shape
    out = np.empty((rows * columns, 3), np.float32)
    for i in range(rows):
        top, bottom = max(i - 1, 0), min(i + 1, rows - 1)
        for j in range(columns):
            left, right = max(j - 1, 0), min(j + 1, columns - 1)
            px = vertices[i, right, 0] - vertices[i, left, 0]
            py = vertices[i, right, 1] - vertices[i, left, 1]
            pz = vertices[i, right, 2] - vertices[i, left, 2]
            qx = vertices[bottom, j, 0] - vertices[top, j, 0]
            qy = vertices[bottom, j, 1] - vertices[top, j, 1]
            qz = vertices[bottom, j, 2] - vertices[top, j, 2]
            x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
            norm = np.sqrt(x * x + y * y + z * z) + np.float32(1e-9)
            k = i * columns + j
            out[k, 0], out[k, 1], out[k, 2] = x / norm, y / norm, z / norm
    return out


@njit(cache=True, nogil=True)
def rasterise(pixels, triangles, size):
    """Return the nearest triangle (size, size) int32, -1 for none, and its barycentric weights (size, size, 2)."""
    depth = np.full((size, size), np.float32(1e9))
    index = np.full((size, size), np.int32(-1))
    weights = np.zeros((size, size, 2), np.float32)
    for k in range(triangles.shape[0]):
        a, b, c = pixels[triangles[k, 0]], pixels[triangles[k, 1]], pixels[triangles[k, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area <= 1e-6:  # Turned away from the camera.
            continue
        left, right = max(int(np.ceil(min(a[0], b[0], c[0]))), 0), min(int(max(a[0], b[0], c[0])), size - 1)
        top, bottom = max(int(np.ceil(min(a[1], b[1], c[1]))), 0), min(int(max(a[1], b[1], c[1])), size - 1)
        for y in range(top, bottom + 1):
            for x in range(left + (left + y) % 2, right + 1, 2):
                p = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
                q = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
                r = 1 - p - q
                if p >= 0 and q >= 0 and r >= 0:
                    z = p * a[2] + q * b[2] + r * c[2]
                    if z < depth[y, x]:
                        depth[y, x], index[y, x] = z, k
                        weights[y, x, 0], weights[y, x, 1] = p, q
    return index, weights


@njit(cache=True, nogil=True)
def sample(texture, x, y, out):
    """Read `texture` (S, S, C) at (x, y) texels by bilinear interpolation into `out` (C,)."""
    i, j = min(int(y), texture.shape[0] - 2), min(int(x), texture.shape[1] - 2)
    s, t = x - j, y - i
    for k in range(out.size):
        upper = texture[i, j, k] * (1 - s) + texture[i, j + 1, k] * s
        lower = texture[i + 1, j, k] * (1 - s) + texture[i + 1, j + 1, k] * s
        out[k] = upper * (1 - t) + lower * t


@njit(cache=True, nogil=True)
def close(texel, lid, blink):
    """Draw the eyelid `lid` (4,) over `texel` (6,), both read from `skin.paint`, at closure `blink`."""
    cover = min(max((blink - lid[3]) / np.float32(0.15), np.float32(0)), np.float32(1))
    for k in range(3):
        texel[k] += cover * (lid[k] - texel[k])
    texel[4] *= 1 - cover


@njit(cache=True, nogil=True)
def shade(index, weights, triangles, normals, texture, lids, towards, ambient, tint, beat, blink, absorption):
    """Return the head as (H, W, 4) linear RGB (premultiplied) and coverage, and where its face is (H, W) bool."""
    size, side = index.shape[0] // OVERSAMPLE, texture.shape[0]
    layer, hits = np.zeros((size, size, 4), np.float32), np.zeros((size, size), np.float32)
    texel, lid, n = np.empty(6, np.float32), np.empty(4, np.float32), np.empty(3, np.float32)
    half = towards + np.array([0, 0, 1], np.float32)
    half = half / np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
    share = np.float32(2.0 / OVERSAMPLE**2)
    for y in range(index.shape[0]):
        for x in range(y % 2, index.shape[1], 2):
            if index[y, x] < 0:
                continue
            i, j, corner = y // OVERSAMPLE, x // OVERSAMPLE, triangles[index[y, x]]
            p, q = weights[y, x, 0], weights[y, x, 1]
            r = 1 - p - q
            for k in range(3):
                n[k] = p * normals[corner[0], k] + q * normals[corner[1], k] + r * normals[corner[2], k]
            n /= np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2) + np.float32(1e-9)
            columns = p * (corner[0] % head.COLUMNS) + q * (corner[1] % head.COLUMNS) + r * (corner[2] % head.COLUMNS)
            rows = p * (corner[0] // head.COLUMNS) + q * (corner[1] // head.COLUMNS) + r * (corner[2] // head.COLUMNS)
            tx, ty = columns * (side - 1) / (head.COLUMNS - 1), rows * (side - 1) / (head.ROWS - 1)
            sample(texture, tx, ty, texel)
            if blink > 0 and lids[int(ty), int(tx), 3] < 1:
                sample(lids, tx, ty, lid)
                close(texel, lid, blink)
            lambert = n[0] * towards[0] + n[1] * towards[1] + n[2] * towards[2]
            diffuse = max((lambert + np.float32(0.3)) / np.float32(1.3), np.float32(0))
            shine = texel[4] * max(n[0] * half[0] + n[1] * half[1] + n[2] * half[2], np.float32(0)) ** 20
            skylight = ambient * (np.float32(0.85) - np.float32(0.15) * n[1])
            for k in range(3):
                albedo = texel[k] * (1 - texel[3] * beat * absorption[k])
                layer[i, j, k] += share * tint[k] * (albedo * (skylight + (1 - ambient) * diffuse) + shine)
            layer[i, j, 3] += share
            hits[i, j] += share * texel[5]
    return layer, hits > 0.5


@njit(cache=True, nogil=True)
def compose(room, body, layer, offset):
    """Return the picture (H, W, 3): head `layer` over `body` (moved by `offset` px) over `room`."""
    size = room.shape[0]
    image, texel = room.copy(), np.empty(4, np.float32)
    margin = (body.shape[0] - size) / 2
    for y in range(size):
        for x in range(size):
            sample(body, x + margin - offset[0], y + margin - offset[1], texel)
            behind = 1 - layer[y, x, 3]
            for k in range(3):
                under = image[y, x, k] * (1 - texel[3]) + texel[k] * texel[3]
                image[y, x, k] = layer[y, x, k] + behind * under
    return image
