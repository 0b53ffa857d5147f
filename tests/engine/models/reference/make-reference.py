#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The independent reference for numerics: a float32 forward pass of the dequantised weights in numpy.

    LLAMA_CPP_LIB_PATH=FOLDER_OF_LIBLLAMA make-reference.py MODEL.gguf LLAMA_CPP_PYTHON_SOURCE OUT.ref

Needs numpy and gguf (whose dequantize() is the definition of the weights), and llama-cpp-python's source with a built
libllama for two things that are recorded beside the logits: the token ids, and llama.cpp's own mean KL divergence from
this reference on the same text. The forward pass follows Touvron et al., "LLaMA" (2023), with grouped queries; it is
written for clarity and shares nothing with the engine.

OUT.ref, little endian: "SPKR", u32 n_prompts, u32 n_vocab, u32 n_top, u32 n_sample, f32 peer_kl_mean, f32 peer_kl_median,
n_sample × u32 sampled ids; then per prompt: u32 n_tokens, n × u32 ids; per position: f64 logsumexp, n_top × (u32, f32)
best logits, n_sample × f32 sampled logits; then the last position in full: f32 low, f32 step, n_vocab × u16.
"""
import struct, sys
import numpy as np
import gguf

N_TOP, N_SAMPLE = 8, 32
PROMPTS = [
    "The lighthouse keeper had not spoken to anyone for eleven days when the boat finally came round the point, low in the water and late.",
    "def median(values):\n    ordered = sorted(values)\n    n = len(ordered)\n    if n % 2:\n        return ordered[n // 2]\n    return",
    "#include <stdio.h>\n\nint main(void) {\n\tfor (int i = 0; i < 10; i++)\n\t\tprintf(\"%d\\n\", i * i);\n",
    "Le matin, quand la brume se lève sur la rivière, on entend d'abord les oiseaux, puis les cloches de l'église, et enfin",
    '{"name": "Ada Lovelace", "born": 1815, "languages": ["English", "French"], "address": {"city": "London", "postcode":',
    "3.14159265358979323846264338327950288419716939937510 58209749445923078164 0628620899",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233,",
    "Happy birthday!! 🎉🎂🥳 I hope you have a great day 😊 and that we'll see each other soon 👨‍👩‍👧‍👦 ❤️",
    "Die Donaudampfschifffahrtsgesellschaft wurde im Jahr 1829 gegründet und war lange Zeit die größte",
    "Q: What is the capital of Australia?\nA: Canberra.\nQ: What is the capital of Canada?\nA:",
    "| planet | moons |\n|---|---|\n| Mercury | 0 |\n| Venus | 0 |\n| Earth | 1 |\n| Mars |",
    "SELECT customer.name, SUM(invoice.total) FROM customer JOIN invoice ON invoice.customer_id = customer.id GROUP BY",
    "日本の首都は東京です。中国的首都是北京。Москва — столица России. Η Αθήνα είναι",
    "<|im_start|>user\nExplain in one sentence why the sky is blue.<|im_end|>\n<|im_start|>assistant\n",
]


def forward(reader, weights, ids):
    def key(name):
        return reader.fields[f"llama.{name}"].contents()
    n_layers, n_heads, n_kv = key("block_count"), key("attention.head_count"), key("attention.head_count_kv")
    eps, base = np.float32(key("attention.layer_norm_rms_epsilon")), key("rope.freq_base")
    x = weights["token_embd.weight"][ids]
    n, hd = len(ids), x.shape[1] // n_heads
    angle = np.arange(n)[:, None] * base ** (-np.arange(0, hd, 2) / hd)[None]
    cos, sin = np.cos(angle).astype(np.float32)[:, None], np.sin(angle).astype(np.float32)[:, None]
    causal = np.triu(np.full((n, n), -np.inf, np.float32), 1)

    def norm(v, w):
        return v / np.sqrt((v * v).mean(-1, keepdims=True) + eps) * w

    def rope(v):  # GGUF's llama rows are permuted so that neighbours form a pair
        a, b = v[..., 0::2], v[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(v.shape)

    for i in range(n_layers):
        def w(name):
            return weights[f"blk.{i}.{name}.weight"]
        h = norm(x, w("attn_norm"))
        q = rope((h @ w("attn_q").T).reshape(n, n_heads, hd))
        k = rope((h @ w("attn_k").T).reshape(n, n_kv, hd))
        v = (h @ w("attn_v").T).reshape(n, n_kv, hd)
        k, v = (np.repeat(t, n_heads // n_kv, 1) for t in (k, v))
        s = np.einsum("qhd,khd->hqk", q, k) / np.float32(hd ** 0.5) + causal
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", s, v).reshape(n, -1) @ w("attn_output").T
        h = norm(x, w("ffn_norm"))
        g = h @ w("ffn_gate").T
        x = x + (g / (1 + np.exp(-g)) * (h @ w("ffn_up").T)) @ w("ffn_down").T
    out = weights.get("output.weight", weights["token_embd.weight"])
    return norm(x, weights["output_norm.weight"]) @ out.T


class Peer:
    def __init__(self, model, source):
        sys.path.insert(0, source)
        import llama_cpp.llama_cpp as L
        self.L = L
        L.llama_backend_init()
        self.model = L.llama_model_load_from_file(model.encode(), L.llama_model_default_params())
        self.vocab = L.llama_model_get_vocab(self.model)

    def tokenize(self, text):
        b = text.encode()
        buf = (self.L.llama_token * (len(b) + 8))()
        n = self.L.llama_tokenize(self.vocab, b, len(b), buf, len(buf), False, True)
        return list(buf[:n])

    def logits(self, ids, n_vocab):
        L = self.L
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_threads, p.n_threads_batch = 512, 512, 2, 2
        ctx = L.llama_init_from_model(self.model, p)
        batch = L.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, t in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = t, i, 1, 0, 1
        assert L.llama_decode(ctx, batch) == 0
        out = np.stack([np.ctypeslib.as_array(L.llama_get_logits_ith(ctx, i), (n_vocab,)).copy() for i in range(len(ids))])
        L.llama_free(ctx)
        return out


def log_softmax(x):
    x = x.astype(np.float64)
    m = x.max(-1, keepdims=True)
    return x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))


def main():
    path, source, out = sys.argv[1:]
    reader = gguf.GGUFReader(path)
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    peer = Peer(path, source)
    n_vocab = weights["token_embd.weight"].shape[0]
    sample = np.sort(np.random.default_rng(5).choice(n_vocab, N_SAMPLE, replace=False)).astype("<u4")
    body, kl = b"", []
    for prompt in PROMPTS:
        ids = peer.tokenize(prompt)
        logits = forward(reader, weights, ids)
        p, q = log_softmax(logits), log_softmax(peer.logits(ids, n_vocab))
        kl.extend((np.exp(p) * (p - q)).sum(-1))
        body += struct.pack("<I", len(ids)) + np.array(ids, "<u4").tobytes()
        for row in logits:
            m = float(row.max())
            body += struct.pack("<d", m + np.log(np.exp(row.astype(np.float64) - m).sum()))
            for i in np.argsort(-row, kind="stable")[:N_TOP]:
                body += struct.pack("<If", i, row[i])
            body += row[sample].astype("<f4").tobytes()
        low, high = float(logits[-1].min()), float(logits[-1].max())
        step = (high - low) / 65535
        body += struct.pack("<ff", low, step) + np.rint((logits[-1].astype(np.float64) - low) / step).astype("<u2").tobytes()
        print(f"{len(ids):4} tokens, peer's KL so far {np.mean(kl):.3g}, median {np.median(kl):.3g}", file=sys.stderr)
    with open(out, "wb") as f:
        f.write(b"SPKR" + struct.pack("<IIIIff", len(PROMPTS), n_vocab, N_TOP, N_SAMPLE, np.mean(kl), np.median(kl)))
        f.write(sample.tobytes() + body)


main()
