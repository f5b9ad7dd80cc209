"""Writes tests/testing/golden/images.safetensors: encoded pictures, and what Pillow and numpy make of them.

python scripts/golden/make_images.py      (pip install pillow numpy safetensors)

  file/<name>            uint8, the bytes of a JPEG or PNG file
  pixels/<name>          uint8 [H, W, 3], Pillow's convert("RGB") of it (alpha dropped; CMYK as Pillow converts)
  resized/<name>/<case>  float32 [h, w]: Pillow's BILINEAR resize of the gray picture in float32, box and size as in
                         the metadata entry "resizes" (a box of a crop first, as torchvision's resized_crop)
"""
import io
import json
import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

PATH = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden/images.safetensors"


def picture(width, height):
    """Smooth colours with edges in them; a function of the size alone."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 127 + 120 * np.sin(x / 9.0) * np.cos(y / 13.0)
    green = 255 * x / width
    blue = 255 * ((x // 8 + y // 8) % 2)
    return np.stack([red, green, blue], axis=2).round().clip(0, 255).astype(np.uint8)


def encode(image, **how):
    out = io.BytesIO()
    image.save(out, **how)
    return np.frombuffer(out.getvalue(), dtype=np.uint8).copy()


def files():
    rgb = Image.fromarray(picture(67, 49))
    gray = rgb.convert("L")
    alpha = rgb.copy()
    alpha.putalpha(gray)
    deep = Image.fromarray((np.asarray(gray).astype(np.uint16) * 256 + 37))
    yield "jpeg_420", encode(rgb, format="JPEG", quality=90, subsampling=2)
    yield "jpeg_422", encode(rgb, format="JPEG", quality=90, subsampling=1)
    yield "jpeg_444", encode(rgb, format="JPEG", quality=95, subsampling=0)
    yield "jpeg_progressive", encode(rgb, format="JPEG", quality=80, progressive=True)
    yield "jpeg_gray", encode(gray, format="JPEG", quality=90)
    yield "jpeg_cmyk", encode(rgb.convert("CMYK"), format="JPEG", quality=95)
    yield "jpeg_restart", encode(rgb, format="JPEG", quality=85, restart_marker_blocks=2)
    yield "png_rgb", encode(rgb, format="PNG")
    yield "png_gray", encode(gray, format="PNG")
    yield "png_gray16", encode(deep, format="PNG")
    yield "png_bits", encode(gray.point(lambda v: 255 * (v > 99), mode="1"), format="PNG")
    yield "png_rgba", encode(alpha, format="PNG")
    yield "png_gray_alpha", encode(alpha.convert("LA"), format="PNG")
    yield "png_palette", encode(rgb.quantize(32), format="PNG")
    yield "png_palette_alpha", encode(rgb.quantize(32), format="PNG", transparency=3)


def luma(rgb):
    r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
    return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)


tensors = {}
for name, data in files():
    image = Image.open(io.BytesIO(data.tobytes()))
    if image.mode.startswith("I"):  # 16 bits, to the nearest of 8
        rgb = np.repeat(((np.asarray(image).astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)[..., None], 3, 2)
    else:
        rgb = np.asarray(image.convert("RGB"))
    tensors[f"file/{name}"] = data
    tensors[f"pixels/{name}"] = np.ascontiguousarray(rgb)

# x, y, width, height of the crop; then the size it is resized to.
resizes = {"smaller": [3, 5, 60, 40, 20, 15], "larger": [10, 7, 13, 11, 40, 33], "same": [2, 1, 24, 24, 24, 24],
           "whole": [0, 0, 67, 49, 32, 48], "one_row": [5, 9, 40, 1, 17, 6]}
source = Image.fromarray(luma(tensors["pixels/png_rgb"]).astype(np.float32), mode="F")
for case, (x, y, w, h, out_w, out_h) in resizes.items():
    resized = source.crop((x, y, x + w, y + h)).resize((out_w, out_h), Image.BILINEAR)
    tensors[f"resized/png_rgb/{case}"] = np.asarray(resized).astype(np.float32)
# Short side to 40, then the middle 32 x 36 (height x width), as torchvision's Resize and CenterCrop.
short = 40
resized = np.asarray(source.resize((int(short * 67 / 49), short), Image.BILINEAR))
top, left = round((resized.shape[0] - 32) / 2), round((resized.shape[1] - 36) / 2)
tensors["centre/png_rgb"] = resized[top:top + 32, left:left + 36].copy()

save_file(tensors, str(PATH), metadata={"cases": "[]", "resizes": json.dumps(resizes)})
print(PATH, PATH.stat().st_size, "bytes")
