"""Regions of the face, as hulls of MediaPipe face-mesh landmarks."""

import cv2
import numpy as np

_LEFT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
_RIGHT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
_LEFT_BROW = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]
_RIGHT_BROW = [300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
_NOSE = [
    168, 122, 351, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 327, 129, 358, 49, 279, 48, 278, 64, 294,
]  # fmt: skip
_MOUTH = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
_LEFT_CHEEK = [117, 118, 119, 100, 126, 209, 203, 206, 207, 187, 123, 116]
_RIGHT_CHEEK = [346, 347, 348, 329, 355, 429, 423, 426, 427, 411, 352, 345]
_FOREHEAD = [54, 103, 67, 109, 10, 338, 297, 332, 284, 293, 334, 296, 336, 107, 66, 105, 63]
_JAW = [
    172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 43, 106, 182, 83, 18, 313, 406,
    335, 273,
]  # fmt: skip

# Hulls overlap: that of the jaw surrounds the mouth. A pixel belongs to the first of these regions.
_FIRST = "eyes", "brows", "mouth", "nose", "cheeks", "forehead", "jaw"

# Region name -> the groups of landmarks whose convex hulls form it.
REGIONS = {
    "forehead": (_FOREHEAD,),
    "brows": (_LEFT_BROW, _RIGHT_BROW),
    "eyes": (_LEFT_EYE, _RIGHT_EYE),
    "nose": (_NOSE,),
    "cheeks": (_LEFT_CHEEK, _RIGHT_CHEEK),
    "mouth": (_MOUTH,),
    "jaw": (_JAW,),
}


def _hull(landmarks: np.ndarray, region: str, size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    for group in REGIONS[region]:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(landmarks[group]).astype(np.int32)), 1)
    return mask.astype(bool)


def region_mask(landmarks: np.ndarray, region: str, size: int) -> np.ndarray:
    """Return the bool mask (size, size) of `region` for crop landmarks (468, 2) px.

    No pixel belongs to two regions. Raises KeyError for an unknown region.
    """
    mask = _hull(landmarks, region, size)
    for other in _FIRST[: _FIRST.index(region)]:
        mask &= ~_hull(landmarks, other, size)
    return mask
