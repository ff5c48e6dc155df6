"""Makes small models of every family in the layouts of the hub, and the embeddings that the graphs are compared with.

    python -m pip install -r requirements.txt && python make_golden.py

The models have random weights and the real structure: several layers and heads, the real names and configurations. The
references are transformers and open_clip, in fp32 on the CPU, reading the same files that the tests convert. What comes
out is committed, so that the tests need no Python.

    models/NAME/    configuration and weights
    golden.json     for each model: token ids -> embedding; seed of an image -> embedding
"""

import json
import math
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import open_clip
import timm
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

HERE = Path(__file__).resolve().parent
MODELS = HERE / "models"
SEEDS = [1, 2, 3, 4, 5]
VOCABULARY = 80


def noise(seed: int, shape) -> torch.Tensor:
    """-2 to 2; the test makes the same numbers."""
    values, state = [], seed
    for _ in range(math.prod(shape)):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append((state >> 8) / 2**22 - 2.0)
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


@torch.no_grad()
def randomize(model, seed: int):
    """Random weights, large enough that different inputs give clearly different vectors."""
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        random = torch.randn_like(weight)
        if name == "logit_scale":
            weight.fill_(math.log(20.0 + seed))
        elif name == "logit_bias":
            weight.fill_(-8.0 - seed)
        elif any(part in name for part in ("norm", "ln_")):
            weight.add_(random, alpha=0.2)
        elif any(part in name for part in ("position", "pos_embed", "class_embedding", "probe", "latent")):
            weight.copy_(random * 0.5)
        elif "token_embedding" in name:
            weight.copy_(random)
        elif weight.dim() > 1:
            # A matrix that multiplies from the right has its inputs as rows.
            inputs = weight.shape[0] if name.endswith(("proj", "text_projection")) else weight[0].numel()
            weight.copy_(random * 1.4 / math.sqrt(inputs))
        else:
            weight.copy_(random * 0.2)
    return model.eval()


def texts(context: int, end: int, last: bool, pad: int) -> list[list[int]]:
    """Ids of several lengths, all of them up to the end token, and where `last` padded to the context."""
    random = np.random.default_rng(7)
    rows = []
    for length in (3, 4, 5, 7, 8, context - 1, context, context):
        ids = random.integers(3, VOCABULARY - 2, length)
        ids[ids == end] = 5
        ids[0], ids[-1] = VOCABULARY - 2 if end != VOCABULARY - 2 else 4, end
        ids = ids.tolist()
        rows.append(ids + [pad] * (context - length) if last else ids)
    # One token of the last but one text changed: its vector is to change, and little.
    rows[-1] = list(rows[-2])
    rows[-1][2] = 9
    return rows


def tensor_of(output):
    return output if isinstance(output, torch.Tensor) else output.pooler_output


@torch.no_grad()
def embed(encode_text, encode_image, rows, size):
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return {
        "texts": [{"ids": ids, "embedding": tensor_of(encode_text(torch.tensor([ids])))[0].tolist()} for ids in rows],
        "images": [{"seed": seed, "embedding": tensor_of(encode_image(noise(seed, (1, 3, height, width))))[0].tolist()}
                   for seed in SEEDS],
    }


def clip_config(**text):
    return CLIPConfig(
        text_config=dict(dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=40, num_hidden_layers=3,
                              num_attention_heads=2, max_position_embeddings=12, bos_token_id=VOCABULARY - 2,
                              eos_token_id=41, pad_token_id=41, projection_dim=20), **text),
        vision_config=dict(hidden_size=24, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4, image_size=32,
                           patch_size=8, projection_dim=20, hidden_act=text.get("hidden_act", "quick_gelu"),
                           layer_norm_eps=text.get("layer_norm_eps", 1e-5)),
        projection_dim=20,
    )


def save_transformers(name, model, **arguments):
    folder = MODELS / name
    model.save_pretrained(folder, **arguments)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def clip(name, config, seed, end=41, dtype=torch.float32, **arguments):
    model = randomize(CLIPModel(config), seed).to(dtype)
    folder = save_transformers(name, model, **arguments)
    return golden_clip(folder, end)


def golden_clip(folder, end):
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    assert model.dtype == torch.float32
    rows = texts(model.config.text_config.max_position_embeddings, end, False, 0)
    return embed(lambda ids: model.get_text_features(input_ids=ids),
                 lambda pixels: model.get_image_features(pixel_values=pixels), rows, model.config.vision_config.image_size)


def old_clip(name, seed):
    """What repositories of 2021 have: a pickle with position_ids and a transposed matrix, `_dict`s, and end token 2."""
    highest = VOCABULARY - 1
    model = randomize(CLIPModel(clip_config(hidden_act="gelu", eos_token_id=2, bos_token_id=0, pad_token_id=1)), seed)
    folder = MODELS / name
    folder.mkdir(parents=True)
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    state["text_projection.weight"] = state["text_projection.weight"].T.contiguous().T
    state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    torch.save(state, folder / "pytorch_model.bin")
    config = model.config.to_dict()
    keep = {"text_config": ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                            "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act"],
            "vision_config": ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size",
                              "patch_size", "hidden_act"]}
    sections = {key: {part: config[key][part] for part in parts} for key, parts in keep.items()}
    # Where both are there, the second wins, with its defaults.
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 20, "logit_scale_init_value": 2.6592,
        "text_config": {**sections["text_config"], "hidden_act": "quick_gelu", "layer_norm_eps": 0.5},
        "text_config_dict": sections["text_config"],
        "vision_config": {**sections["vision_config"], "patch_size": 16},
        "vision_config_dict": sections["vision_config"],
    }, indent=2) + "\n")
    return golden_clip(folder, highest)


def siglip(name, seed, text, vision, **arguments):
    config = SiglipConfig(
        text_config=dict(dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3,
                              num_attention_heads=3, max_position_embeddings=10, pad_token_id=1, bos_token_id=0,
                              eos_token_id=1), **text),
        vision_config=dict(dict(hidden_size=24, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4,
                                image_size=32, patch_size=8), **vision),
    )
    folder = save_transformers(name, randomize(SiglipModel(config), seed), **arguments)
    model = SiglipModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    context, pad = model.config.text_config.max_position_embeddings, model.config.text_config.pad_token_id
    return embed(lambda ids: model.get_text_features(input_ids=ids),
                 lambda pixels: model.get_image_features(pixel_values=pixels), texts(context, 1, True, pad),
                 model.config.vision_config.image_size)


def openclip(name, seed, config, preprocess, pickle=False, timm_sizes=None):
    text, vision = config["text_cfg"], config["vision_cfg"]
    folder = MODELS / name
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2) + "\n")
    create = timm.create_model
    with mock.patch.object(timm, "create_model", lambda *a, **k: create(*a, **k, **(timm_sizes or {}))):
        arguments = dict(config)
        kind = open_clip.model.CustomTextCLIP if arguments.pop("custom_text", False) else open_clip.model.CLIP
        model = randomize(kind(**arguments), seed)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        if pickle:
            torch.save(state, folder / "open_clip_pytorch_model.bin")
        else:
            save_file(state, folder / "open_clip_model.safetensors")
        model = open_clip.create_model(f"local-dir:{folder}", device="cpu").eval()
    context, last = text["context_length"], text.get("pool_type") == "last"
    end = text.get("eos_id", 1) if last or "eos_id" in text else VOCABULARY - 1
    pad = text.get("pad_id", 0)
    # open_clip reads texts of the whole context only; padding behind the end of a causal one changes nothing.
    whole = lambda ids: torch.nn.functional.pad(ids, (0, context - ids.shape[1]), value=pad)
    return embed(lambda ids: model.encode_text(whole(ids)), model.encode_image, texts(context, end, last, pad),
                 vision["image_size"])


def spread(rows):
    """The mean and the highest cosine of two of some vectors."""
    vectors = np.array([row["embedding"] for row in rows], dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return f"{cosines.mean():.3f} at most {cosines.max():.4f}"


def main():
    shutil.rmtree(MODELS, ignore_errors=True)
    text = dict(context_length=12, vocab_size=VOCABULARY, width=16, heads=2, layers=3, mlp_ratio=2.5)
    vision = dict(image_size=32, layers=3, width=24, head_width=6, patch_size=8, mlp_ratio=2.4)
    squash = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    crop = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    sig = dict(context_length=10, vocab_size=VOCABULARY, width=24, heads=3, layers=3, mlp_ratio=1.7, no_causal_mask=True,
               proj_bias=True, pool_type="last", norm_kwargs={"eps": 1e-6}, pad_id=1, eos_id=1)
    timm_sizes = dict(embed_dim=24, depth=3, mlp_ratio=1.8, img_size=48)
    golden = {
        "clip": clip("clip", clip_config(), 1),
        "clip-fp16": clip("clip-fp16", clip_config(hidden_act="gelu", layer_norm_eps=1e-6), 2, dtype=torch.float16),
        "clip-shards-bf16": clip("clip-shards-bf16", clip_config(hidden_act="gelu_pytorch_tanh"), 3,
                                 dtype=torch.bfloat16, max_shard_size="30KB"),
        "clip-pickle-2021": old_clip("clip-pickle-2021", 4),
        # Two pixels of each side are beyond the last patch.
        "siglip": siglip("siglip", 5, {}, dict(image_size=34)),
        "siglip2": siglip("siglip2", 6, dict(pad_token_id=0, max_position_embeddings=9),
                          dict(num_attention_heads=2, patch_size=16, image_size=48)),
        "open_clip": openclip("open_clip", 7, dict(embed_dim=20, vision_cfg=vision, text_cfg=text), crop),
        "open_clip-quickgelu-pickle": openclip(
            "open_clip-quickgelu-pickle", 8, dict(embed_dim=20, quick_gelu=True, vision_cfg=vision, text_cfg=text), crop,
            pickle=True),
        "open_clip-custom-text": openclip(
            "open_clip-custom-text", 9,
            dict(embed_dim=20, custom_text=True, vision_cfg=dict(vision, no_ln_pre=True),
                 text_cfg=dict(text, pool_type="eos", eos_id=41, proj_bias=True, act_kwargs={"approximate": "tanh"})), crop),
        "open_clip-siglip": openclip(
            "open_clip-siglip", 10,
            dict(embed_dim=24, init_logit_bias=-10, custom_text=True, text_cfg=dict(sig, act_kwargs={"approximate": "tanh"}),
                 vision_cfg=dict(image_size=48, timm_model_name="vit_base_patch16_siglip_224", timm_model_pretrained=False,
                                 timm_pool="map", timm_proj="none")), squash, timm_sizes=timm_sizes),
        "open_clip-siglip-tanh": openclip(
            "open_clip-siglip-tanh", 11,
            dict(embed_dim=32, init_logit_bias=-10, custom_text=True,
                 text_cfg=dict(sig, width=32, heads=4, proj_type="none", proj_bias=False),
                 vision_cfg=dict(image_size=64, timm_model_name="vit_so400m_patch16_siglip_256",
                                 timm_model_pretrained=False, timm_pool="map", timm_proj="none")), squash,
            timm_sizes=dict(timm_sizes, embed_dim=32, img_size=64)),
    }
    for name, rows in golden.items():
        print(f"{name:28} cosine of two texts {spread(rows['texts'])}, of two images {spread(rows['images'])}")
    with (HERE / "golden.json").open("w") as file:
        json.dump(golden, file)
        file.write("\n")
    print(sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
