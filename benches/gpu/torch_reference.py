#!/usr/bin/env python3
"""The same encoders in PyTorch: half precision, torch.compile, random weights of the same shapes.

Prints one JSON object a line, as the bench beside it does:
{"engine": "torch", "model": ..., "encoder": "image" | "text", "precision": "fp16", "batch": N, "per_second": ..., "ms": ...}

Images come as 8-bit pixels in pinned memory and are normalised on the device; vectors go back to the host. Each figure is
the median of the runs.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

# patch, width, layers, heads, dimension; width, heads of the text encoder; as in benches/common/src/vit.rs.
MODELS = {
    "ViT-B/32": (32, 768, 12, 12, 512, 512, 8),
    "ViT-B/16": (16, 768, 12, 12, 768, 768, 12),
    "ViT-L/14": (14, 1024, 24, 16, 768, 768, 12),
}
TEXT_TOKENS = 16


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--models", default=",".join(MODELS), help="separated by commas")
    arguments.add_argument("--batches", default="1,128", help="separated by commas")
    arguments.add_argument("--runs", type=int, default=30)
    arguments.add_argument("--eager", action="store_true", help="without torch.compile")
    options = arguments.parse_args()
    device = torch.cuda.get_device_name(0)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {device}", file=sys.stderr)
    for name in options.models.split(","):
        for encoder, make in (("image", image_encoder), ("text", text_encoder)):
            for batch in map(int, options.batches.split(",")):
                try:
                    measure(name, encoder, make, batch, options)
                except RuntimeError as error:
                    print(f"{name} {encoder} {batch}: {error}", file=sys.stderr)


def measure(name: str, encoder: str, make, batch: int, options: argparse.Namespace) -> None:
    torch._dynamo.reset()
    began = time.perf_counter()
    run = make(MODELS[name], batch, not options.eager)
    for _ in range(5):
        run()
    prepared = time.perf_counter() - began
    times = []
    for _ in range(options.runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    row = {
        "engine": "torch", "model": name, "encoder": encoder, "precision": "fp16", "batch": batch,
        "per_second": round(batch / median, 1), "ms": round(median * 1e3, 3), "compiled_in_s": round(prepared, 1),
    }
    print(json.dumps(row), flush=True)


def image_encoder(shape, batch: int, compile_it: bool):
    patch, width, layers, heads, dimension, _, _ = shape
    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
        patch_size=patch, image_size=224, projection_dim=dimension, attn_implementation="sdpa",
    )
    model = CLIPVisionModelWithProjection(config).half().eval().cuda()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], device="cuda").view(1, 3, 1, 1) * 255
    factor = 1 / (torch.tensor([0.26862954, 0.26130258, 0.27577711], device="cuda").view(1, 3, 1, 1) * 255)

    def embed(pixels):
        return model(pixel_values=((pixels - mean) * factor).half()).image_embeds

    if compile_it:
        embed = torch.compile(embed, mode="reduce-overhead", dynamic=False)
    host = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8).pin_memory()

    @torch.inference_mode()
    def run():
        return embed(host.to("cuda", non_blocking=True)).float().cpu()

    return run


def text_encoder(shape, batch: int, compile_it: bool):
    _, _, _, _, dimension, width, heads = shape
    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=12, num_attention_heads=heads,
        projection_dim=dimension, attn_implementation="sdpa",
    )
    model = CLIPTextModelWithProjection(config).half().eval().cuda()

    def embed(ids):
        return model(input_ids=ids).text_embeds

    if compile_it:
        embed = torch.compile(embed, mode="reduce-overhead", dynamic=False)
    host = torch.randint(1, 49000, (batch, TEXT_TOKENS))
    host[:, -1] = 49407
    host = host.pin_memory()

    @torch.inference_mode()
    def run():
        return embed(host.to("cuda", non_blocking=True)).float().cpu()

    return run


if __name__ == "__main__":
    main()
