"""CLIP's two towers as ONNX graphs, in the layout of the Hugging Face hub's exports.

Written out rather than traced through transformers' own forward methods: the graphs stay plain (no mask arithmetic for
other attention back ends), lengths stay free, and each variant of the inputs can be made.
"""

import io
from pathlib import Path

import torch
from torch import nn
from transformers import CLIPModel


class Text(nn.Module):
    """CLIPModel.get_text_features, written out so that each variant of the inputs can be exported."""

    def __init__(self, model: CLIPModel):
        super().__init__()
        self.tower, self.projection = model.text_model, model.text_projection
        self.end = model.config.text_config.eos_token_id

    def forward(self, input_ids, attention_mask=None, position_ids=None):
        embeddings = self.tower.embeddings
        ids, length = input_ids.long(), input_ids.shape[1]
        table = embeddings.position_embedding.weight
        positions = table[:length] if position_ids is None else table[position_ids.long()]
        hidden = embeddings.token_embedding(ids) + positions
        row, column = torch.arange(length)[:, None], torch.arange(length)[None, :]
        visible = (column <= row)[None, None]
        if attention_mask is not None:
            visible = visible & (attention_mask != 0)[:, None, None, :]
        bias = torch.where(visible, 0.0, -1e4).to(hidden.dtype)
        hidden = self.tower.final_layer_norm(encode(self.tower.encoder, hidden, bias))
        end = (ids == self.end).int().argmax(dim=-1)
        pooled = torch.gather(hidden, 1, end[:, None, None].expand(-1, 1, hidden.shape[-1]))[:, 0]
        return self.projection(pooled)


class Vision(nn.Module):
    """CLIPModel.get_image_features."""

    def __init__(self, model: CLIPModel):
        super().__init__()
        self.tower, self.projection = model.vision_model, model.visual_projection

    def forward(self, pixel_values):
        embeddings = self.tower.embeddings
        patches = embeddings.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        first = embeddings.class_embedding.expand(pixel_values.shape[0], 1, -1)
        hidden = torch.cat([first, patches], dim=1) + embeddings.position_embedding.weight
        hidden = encode(self.tower.encoder, self.tower.pre_layrnorm(hidden), None)
        return self.projection(self.tower.post_layernorm(hidden[:, 0]))


def encode(encoder, hidden, bias):
    for layer in encoder.layers:
        attention = layer.self_attn
        split = lambda x: x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        x = layer.layer_norm1(hidden)
        query, key, value = split(attention.q_proj(x)), split(attention.k_proj(x)), split(attention.v_proj(x))
        scores = query @ key.transpose(-1, -2) * attention.head_dim**-0.5
        scores = scores if bias is None else scores + bias
        x = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        hidden = hidden + attention.out_proj(x)
        x = layer.mlp.fc1(layer.layer_norm2(hidden))
        hidden = hidden + layer.mlp.fc2(x * torch.sigmoid(1.702 * x))
    return hidden


def export(module, inputs: dict, output: str, path: Path, free: dict):
    """`free` has the names of the sizes that stay free, for each input."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: sizes for name, sizes in free.items() if sizes}
    if any(0 in sizes for sizes in axes.values()):
        axes[output] = {0: "batch_size"}
    buffer = io.BytesIO()
    torch.onnx.export(module, tuple(inputs.values()), buffer, input_names=list(inputs), output_names=[output],
                      dynamic_axes=axes, opset_version=17, dynamo=False)
    path.write_bytes(buffer.getvalue())


