"""Our graphs beside the ordinary exporter's, of the same weights and in the same ONNX Runtime.

    python -m pip install -r benches/export/requirements.txt && python benches/export/compare.py [ROUNDS] [FOLDER]

A CLIP ViT-B/32 of random weights is exported with torch.onnx.export, as optimum does it, and converted by crates/weights.
The two graphs of an encoder run in turn in one process; what counts is the ratio of their times in each round, by the
clock and, for a machine that others use, by the processor time of all threads. FOLDER (default: a temporary one) gets
1.8 GB; a second run with the same FOLDER takes what is there.
"""

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import CLIPConfig, CLIPModel

ROOT = Path(__file__).resolve().parents[2]
START, END = 49406, 49407


class Text(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model.text_projection(self.model.text_model(input_ids=input_ids).pooler_output)


class Image(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.visual_projection(self.model.vision_model(pixel_values=pixel_values).pooler_output)


def make(folder: Path):
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig()).eval()
    model.save_pretrained(folder / "clip")
    warnings.simplefilter("ignore")
    for module, example, name, free in (
        (Text(model), texts(2, 8), "text", {"input_ids": {0: "batch", 1: "sequence"}}),
        (Image(model), images(2), "vision", {"pixel_values": {0: "batch"}}),
    ):
        (key, value), = example.items()
        torch.onnx.export(module, (torch.from_numpy(value),), folder / f"exported_{name}.onnx", input_names=[key],
                          output_names=["embeds"], dynamic_axes=free, opset_version=17, dynamo=False)


def texts(rows, length):
    ids = np.random.default_rng(1).integers(0, START, (rows, length))
    ids[:, 0], ids[:, -1] = START, END
    return {"input_ids": ids}


def images(rows):
    return {"pixel_values": np.random.default_rng(2).standard_normal((rows, 3, 224, 224)).astype(np.float32)}


def load(path):
    options = onnxruntime.SessionOptions()
    # As the server sets them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(what, theirs, ours, inputs, rounds):
    times, nearest = [], 1.0
    for _ in range(rounds + 1):
        pair, answers = [], []
        for session in (theirs, ours):
            start = time.perf_counter(), time.process_time()
            answers.append(session.run(None, inputs)[0].astype(np.float64))
            pair.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        times.append(pair)
        a, b = (answer / np.linalg.norm(answer, axis=1, keepdims=True) for answer in answers)
        nearest = min(nearest, (a * b).sum(axis=1).min())
    # The first round also allocates.
    times = np.array(times[1:])
    cells = [what] + [f"{best * 1000:.1f} ms" for best in times[:, :, 0].min(axis=0)]
    for clock in (0, 1):
        low, middle, high = np.percentile(times[:, 0, clock] / times[:, 1, clock], [25, 50, 75])
        cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    print("| " + " | ".join([*cells, f"{nearest:.7f}"]) + " |", flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "exported_vision.onnx").exists():
            make(folder)
        subprocess.run(["cargo", "run", "--locked", "--quiet", "-p", "weights", "--example", "convert", "--",
                        folder / "clip", folder / "converted"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        print(f"ONNX Runtime {onnxruntime.__version__}, {rounds} rounds; a ratio above 1: ours is faster")
        print("| | exporter, best | ours, best | ratio, median (quartiles) | of processor time | cosine |")
        print("|---|---|---|---|---|---|")
        for name, cases in (
            ("text", [("text, 1 × 8 tokens", texts(1, 8)), ("text, 32 × 8 tokens", texts(32, 8)), ("text, 1 × 77 tokens", texts(1, 77))]),
            ("vision", [("image, 1", images(1)), ("image, 8", images(8))]),
        ):
            theirs, ours = load(folder / f"exported_{name}.onnx"), load(folder / f"converted/onnx/{name}_model.onnx")
            for what, inputs in cases:
                compare(what, theirs, ours, inputs, rounds)


if __name__ == "__main__":
    main()
