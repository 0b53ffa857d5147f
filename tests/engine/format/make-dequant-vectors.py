#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make-dequant-vectors.py > dequant-vectors.txt: random blocks of every weight type and what the format's own Python
package (PyPI gguf, made with 0.19.0; needs numpy) makes of them.

A line each: type, the blocks' bytes, the bits of the float32 values, in hexadecimal. Scales are finite, of both signs,
among them zero and subnormal ones; everything else is random, so that every code is met.
"""
import sys
import numpy as np
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES
from gguf.quants import dequantize

# where the half-precision scales lie in a block
SCALES = {T.F32: [], T.F16: [], T.BF16: [], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.MXFP4: []}
SPECIAL = [0.0, -0.0, 6e-8, -3e-5, 65504.0]


def main():
    rng = np.random.default_rng(20261121)
    for t, scales in SCALES.items():
        elements, size = GGML_QUANT_SIZES[t]
        n = {1: 64, 32: 8, 256: 6}[elements]
        if t in (T.F32, T.F16, T.BF16):
            blocks = (rng.normal(size=n) * 10.0 ** rng.integers(-7, 4, size=n)).astype(np.float32)
            bits = blocks.view(np.uint32)
            blocks = {T.F32: blocks, T.F16: blocks.astype(np.float16), T.BF16: (bits >> 16).astype(np.uint16)}[t]
            blocks = blocks.view(np.uint8).reshape(n, size)
        else:
            blocks = rng.integers(0, 256, size=(n, size), dtype=np.uint8)
            for i in range(n):
                for at in scales:
                    d = SPECIAL[i] if i < len(SPECIAL) and at == scales[0] and n > 6 else rng.normal() * 0.05
                    blocks[i, at:at + 2] = np.array([d], dtype=np.float16).view(np.uint8)
            if t == T.MXFP4:
                blocks[:, 0] = [0, 1, 2, 120, 127, 128, 200, 250]
        values = dequantize(blocks.reshape(1, -1), t).astype(np.float32).reshape(-1)
        assert values.size == n * elements and np.isfinite(values).all(), t
        print(t.name, blocks.tobytes().hex(), "".join(f"{b:08x}" for b in values.view(np.uint32)))


main()
