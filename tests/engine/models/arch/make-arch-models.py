#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the data of test-architectures: for each architecture a tiny model of the true shape with random weights.

    make-arch-models.py LLAMA_CPP_SOURCE [NAME]...

Needs torch, transformers, tokenizers, sentencepiece, gguf. Weights are drawn in `transformers`, rounded to float16 (so
that the file holds exactly what was computed with), and written by llama.cpp's converter, convert_hf_to_gguf.py; the
reference logits are transformers' own, float32, eager attention. Writes NAME.gguf and NAME.ref beside this script:
NAME.ref is u32 n_tokens, u32 n_vocab, n_tokens × u32 ids, n_tokens × n_vocab × f32 logits, little endian.
"""
import json, os, struct, subprocess, sys, tempfile
import numpy as np
import torch
import transformers as T
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
N_TOKENS = 48
N_VOCAB = 384
COMMON = dict(vocab_size=N_VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
              num_key_value_heads=2, head_dim=32, max_position_embeddings=512, bos_token_id=0, eos_token_id=1,
              pad_token_id=1, attn_implementation="eager")
# Where the head's size is not a parameter of its own, but hidden / heads.
WIDE = {**{k: v for k, v in COMMON.items() if k not in ("head_dim", "intermediate_size", "num_key_value_heads")},
        "hidden_size": 64, "num_attention_heads": 2}


def llama4(chunk):
    """The converter writes neither chunk nor temperature length, readers take 8,192 for both; Spark also reads the keys
    llama4.attention.chunk_size and llama4.attention.temperature_length, so that both can be tested on a short text."""
    return T.Llama4TextConfig(**{**COMMON, "intermediate_size": 32}, intermediate_size_mlp=64, num_local_experts=4,
                              num_experts_per_tok=1, interleave_moe_layer_step=2, attention_chunk_size=chunk,
                              no_rope_layers=[1, 1, 1, 0], use_qk_norm=True, attn_temperature_tuning=True,
                              floor_scale=chunk, attn_scale=0.1)


ARCHITECTURES = {
    "llama": lambda: T.LlamaConfig(**COMMON, tie_word_embeddings=False),
    "llama3-rope": lambda: T.LlamaConfig(**COMMON, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}),
    "qwen2": lambda: T.Qwen2Config(**{**WIDE, "intermediate_size": 64}, num_key_value_heads=1),
    "qwen3": lambda: T.Qwen3Config(**COMMON),
    "gemma3": lambda: T.Gemma3TextConfig(**{**COMMON, "num_hidden_layers": 7}, sliding_window=16, query_pre_attn_scalar=32,
                                         sliding_window_pattern=6),
    "llama4": lambda: llama4(8192),
    "llama4-chunks": lambda: llama4(16),
    "qwen3moe": lambda: T.Qwen3MoeConfig(**COMMON, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2,
                                         norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[]),
    "olmoe": lambda: T.OlmoeConfig(**WIDE, num_key_value_heads=2,
                                   intermediate_size=32, num_experts=8, num_experts_per_tok=2, norm_topk_prob=False),
    "granitemoe": lambda: T.GraniteMoeConfig(**WIDE, num_key_value_heads=1,
                                             intermediate_size=32, num_local_experts=8, num_experts_per_tok=2,
                                             embedding_multiplier=6.0, attention_multiplier=0.2, residual_multiplier=0.5,
                                             logits_scaling=4.0),
}


def bpe_tokenizer(folder):
    """Byte-level BPE over the 256 bytes, two control tokens first; the rest of the vocabulary from a little text."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=N_VOCAB - 16, special_tokens=["<|begin|>", "<|end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    t.train_from_iterator([open(__file__).read()], trainer)
    T.PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<|begin|>", eos_token="<|end|>").save_pretrained(folder)


def spm_tokenizer(folder):
    import sentencepiece as spm
    spm.SentencePieceTrainer.train(input=__file__, model_prefix=os.path.join(folder, "tokenizer"), vocab_size=N_VOCAB,
                                   model_type="bpe", byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                                   hard_vocab_limit=True, minloglevel=2)


def randomise(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.dim() == 1 and "norm" in name:
            p.data = p.data + torch.randn(p.shape, generator=g) * 0.1
        elif p.dim() == 1:
            p.data = torch.randn(p.shape, generator=g) * 0.2
        else:
            p.data = torch.randn(p.shape, generator=g) * (1.5 / p.shape[-1] ** 0.5)
        p.data = p.data.half().float()


CONVERT = """
import sys, runpy
sys.path.insert(0, sys.argv[1])
from conversion import base
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
from conversion import llama
write = llama.Llama4Model.set_gguf_parameters
def with_lengths(self):
    write(self)
    if self.hparams["attention_chunk_size"] != 8192:
        self.gguf_writer.add_uint32("llama4.attention.chunk_size", self.hparams["attention_chunk_size"])
        self.gguf_writer.add_uint32("llama4.attention.temperature_length", int(self.hparams["floor_scale"]))
llama.Llama4Model.set_gguf_parameters = with_lengths
sys.argv = sys.argv[2:]
runpy.run_path(__import__("os").path.join(sys.path[0], "convert_hf_to_gguf.py"), run_name="__main__")
"""


def make(name, source):
    torch.manual_seed(1)
    config = ARCHITECTURES[name]()
    model = T.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
    randomise(model, 7)
    ids = np.random.default_rng(3).integers(4, N_VOCAB, N_TOKENS)
    with torch.no_grad():
        logits = model(torch.tensor(ids)[None], use_cache=False).logits[0].float().numpy()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        (spm_tokenizer if name == "gemma3" else bpe_tokenizer)(folder)
        path = os.path.join(folder, "config.json")
        c = json.load(open(path))
        if name == "gemma3":
            c["sliding_window_pattern"] = 6
        json.dump(c, open(path, "w"))
        out = os.path.join(HERE, name + ".gguf")
        wrapper = os.path.join(folder, "convert.py")
        open(wrapper, "w").write(CONVERT)
        r = subprocess.run([sys.executable, wrapper, source, "convert_hf_to_gguf.py", folder, "--outfile", out, "--outtype", "f16"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})
        if r.returncode != 0:
            sys.exit(f"{name}: the converter failed\n{r.stdout[-3000:]}")
    with open(os.path.join(HERE, name + ".ref"), "wb") as f:
        f.write(struct.pack("<II", N_TOKENS, N_VOCAB) + ids.astype("<u4").tobytes() + logits.astype("<f4").tobytes())
    print(f"{name}: {os.path.getsize(out)} bytes, logits {logits.min():.2f} … {logits.max():.2f}, sd {logits.std():.2f}")


for name in sys.argv[2:] or ARCHITECTURES:
    make(name, sys.argv[1])
