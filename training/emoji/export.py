"""The trained model as a directory in the layout of the Hugging Face hub's ONNX exports, weights stored in half precision.

Storing fp16 and computing in fp32 loses nothing that can be measured, needs no arithmetic that saturates on some
processors, and ONNX Runtime turns the weights into fp32 once, while loading.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from ..clip_onnx import Text, Vision, export as export_graph


def export(model: CLIPModel, tokenizer, output: Path, side: int, mean: float, std: float):
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    model = model.eval().float()
    tokenizer.save_pretrained(output)
    CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side},
                          image_mean=[mean] * 3, image_std=[std] * 3).save_pretrained(output)
    model.config.to_json_file(output / "config.json", use_diff=False)
    config = json.loads((output / "config.json").read_text())
    config["logit_scale"] = round(model.logit_scale.exp().item(), 4)
    (output / "config.json").write_text(json.dumps(config, indent=1) + "\n")

    ids = torch.full((2, 9), model.config.text_config.eos_token_id)
    both, batch = {0: "batch_size", 1: "sequence_length"}, {0: "batch_size"}
    export_graph(Text(model), {"input_ids": ids}, "text_embeds", output / "onnx/text_model.onnx", {"input_ids": both})
    export_graph(Vision(model), {"pixel_values": torch.zeros(2, 3, side, side)}, "image_embeds",
                 output / "onnx/vision_model.onnx", {"pixel_values": batch})
    for path in sorted((output / "onnx").iterdir()):
        store_half(path)


def store_half(path: Path):
    """Stores large float32 weights as float16, each followed by a cast."""
    graph_file = onnx.load(path)
    graph, casts = graph_file.graph, []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 256:
            continue
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name + "_fp16")
        casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
        weight.CopyFrom(half)
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.checker.check_model(graph_file)
    onnx.save(graph_file, path)
