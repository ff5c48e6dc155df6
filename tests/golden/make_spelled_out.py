"""Makes spelled_out/: the fp16 encoders of models/golden/small with layer normalisation as torch.autocast exports it.

    python -m pip install onnx==1.23.2 numpy==2.4.6 && python make_spelled_out.py

Autocast keeps layer normalisation in fp32, weights too, and casts around it; an exporter without the operator, or with another
version of it, spells out what it consists of. ONNX Runtime 1.31 fuses these nodes into a LayerNormalization of fp16 values
with fp32 weights, which it then refuses, at every optimisation level but "disabled". The vectors are those of golden.json.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
SMALL = HERE / "models/golden/small/onnx"
OUT = HERE / "spelled_out"


def spell_out(model: onnx.ModelProto):
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes, count = [], 0
    for node in graph.node:
        if node.op_type != "LayerNormalization":
            nodes.append(node)
            continue
        count += 1
        prefix = f"norm{count}"
        epsilon = next(a.f for a in node.attribute if a.name == "epsilon")

        def constant(name, value):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), f"{prefix}/{name}"))
            return f"{prefix}/{name}"

        def add(operator, name, *inputs, **attributes):
            nodes.append(helper.make_node(operator, inputs, [f"{prefix}/{name}"], f"{prefix}/{name}", **attributes))
            return f"{prefix}/{name}"

        x, weight, bias = node.input
        x = add("Cast", "in", x, to=TensorProto.FLOAT)
        centred = add("Sub", "sub", x, add("ReduceMean", "mean", x, axes=[-1], keepdims=1))
        squares = add("Pow", "pow", centred, constant("two", 2))
        variance = add("ReduceMean", "variance", squares, axes=[-1], keepdims=1)
        deviation = add("Sqrt", "sqrt", add("Add", "add", variance, constant("epsilon", epsilon)))
        scaled = add("Mul", "mul", add("Div", "div", centred, deviation), constant("weight", values[weight]))
        shifted = add("Add", "shift", scaled, constant("bias", values[bias]))
        nodes.append(helper.make_node("Cast", [shifted], node.output, f"{prefix}/out", to=TensorProto.FLOAT16))
    assert count, "there is no layer normalisation"
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def main():
    OUT.mkdir(exist_ok=True)
    for encoder in ["text_model", "vision_model"]:
        model = onnx.load(SMALL / f"{encoder}_fp16.onnx")
        spell_out(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, OUT / f"{encoder}_fp16.onnx")


if __name__ == "__main__":
    main()
