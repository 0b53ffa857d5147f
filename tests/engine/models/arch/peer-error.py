#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How far llama.cpp is from transformers' float32 on the models beside this script.

    LLAMA_CPP_LIB_PATH=FOLDER_OF_LIBLLAMA peer-error.py LLAMA_CPP_PYTHON_SOURCE > peer-error.json

Root of the mean squared difference of all logits, and the largest one, per model: the bound that Spark's fast path is
held to (the same file, the same ids).
"""
import ctypes, json, os, struct, sys
import numpy as np

sys.path.insert(0, sys.argv[1])
import llama_cpp.llama_cpp as L  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
L.llama_backend_init()
out = {}
for name in sorted(f[:-4] for f in os.listdir(HERE) if f.endswith(".ref")):
    with open(os.path.join(HERE, name + ".ref"), "rb") as f:
        n, v = struct.unpack("<II", f.read(8))
        ids = np.frombuffer(f.read(4 * n), "<u4")
        ref = np.frombuffer(f.read(4 * n * v), "<f4").reshape(n, v)
    model = L.llama_model_load_from_file(os.path.join(HERE, name + ".gguf").encode(), L.llama_model_default_params())
    params = L.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_threads, params.n_threads_batch = 256, 256, 2, 2
    ctx = L.llama_init_from_model(model, params)
    batch = L.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i in range(n):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = int(ids[i]), i, 1, 0, 1
    assert L.llama_decode(ctx, batch) == 0
    got = np.stack([np.ctypeslib.as_array(L.llama_get_logits_ith(ctx, i), (v,)).copy() for i in range(n)])
    d = got - ref
    out[name] = {"rms": float(np.sqrt((d ** 2).mean())), "max": float(np.abs(d).max())}
    L.llama_free(ctx)
    L.llama_model_free(model)
json.dump(out, sys.stdout, indent=1)
print()
