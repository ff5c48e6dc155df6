"""Makes layouts/: models of each family, tiny and with random weights but of the real structure, and what their references answer.

    python -m pip install -r requirements-layouts.txt && python make_layouts.py [FAMILY ...]

The references are the classes of transformers and open_clip. What comes out is committed, so that the tests need no Python.
Running this again changes the last digits, and the tokenizers, whose training is not the same from run to run; with names of
functions below, such as `altclip`, only these are made anew.

    layouts/models/<family>/<name>/   a model in the layout in which the family is published
    layouts/golden.json               for each model: text -> ids -> embedding; image -> embedding
    layouts/preprocessors.json        image processor classes: configuration, image, and some of the pixels that come out
    layouts/quantized/*.onnx          dynamically quantised encoders of models/golden/small, outliers in their weights
    layouts/graphs/*.onnx             its text encoder, which answers something else: NaN, another shape, no projection
"""

import copy
import io
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import open_clip
import sentencepiece
import torch
import transformers
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AltCLIPConfig, AltCLIPModel, BertTokenizer, ChineseCLIPConfig, ChineseCLIPModel, CLIPConfig, CLIPModel, CLIPTokenizer,
                          MetaClip2Config, MetaClip2Model, SiglipConfig, SiglipModel, XLMRobertaConfig, XLMRobertaModel)
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

HERE = Path(__file__).resolve().parent
OUT = HERE / "layouts"
MODELS = OUT / "models"
SMALL = HERE / "models/golden/small"
SIDE, PATCH, DIM = 32, 8, 16
TEXT = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
VISION = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=PATCH)
IMAGES = ["exact.png", "wide.png", "tall.png", "small.png", "gradient.png", "noise.png", "photo.bmp", "line.png"]

LONG = "a man riding a bicycle down the hill and a dog on the beach near the old harbour "
TEXTS = [
    "a photo of a cat", "A Photo Of A CAT", "a dog", "A DOG ON THE BEACH!", "red fruit, green leaves; (blue sky)", "snow-covered trees",
    "don't stop: it's 5 o'clock", "  spaces \t and\nlines  ", "x", "", "1234567890", "naïve café Ångström", "ΣΊΣΥΦΟΣ ΟΔΟΣ", "Straße İstanbul",
    "猫の写真", "一只猫在沙滩上", "Кошка на пляже", "صورة قطة", "😀 happy!", "under_score and under_scores", LONG, LONG * 2, LONG * 9,
]
# Words for the tokenizers that are trained here: those of the texts and of the other golden texts.
CORPUS = (HERE / "corpus.txt").read_text().splitlines() + [text.lower() for text in TEXTS] + TEXTS


def randomize(module: torch.nn.Module, seed: int, patches=1.0, attention=1.0):
    """Weights large enough that different inputs give clearly different vectors."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise, image = torch.randn_like(weight), "vis" in name or "trunk" in name
            if "logit" in name:
                continue
            if "norm" in name.lower() or "ln_" in name:
                weight.copy_(noise * (0.1 if image else 0.2) + (1.0 if name.endswith("weight") else 0.0))
            elif "position" in name or "class_embedding" in name or "probe" in name:
                weight.copy_(noise * (0.2 if image else 0.4))
            elif "token" in name or "word_embeddings" in name:
                weight.copy_(noise)
            elif weight.dim() > 1:
                gain = patches if weight.dim() == 4 else attention if "q_proj" in name or "k_proj" in name else 1.0
                if weight.dim() == 4 and patches > 1:
                    # Contrast rather than brightness, where images are not normalised.
                    noise = noise - noise.mean(dim=(1, 2, 3), keepdim=True)
                weight.copy_(noise * gain * (1.1 if image else 1.5) / math.sqrt(weight[0].numel()))
            else:
                weight.copy_(noise * (0.05 if image else 0.2))
    return module.eval().float()


# ---- Export ----------------------------------------------------------------------------------------------------------


def export(module, inputs: dict, outputs: list[str], path: Path, free: dict):
    # The exporter sets what it exports back to training, with all that it is made of, where the whole was not evaluating.
    module.eval()
    buffer = io.BytesIO()
    axes = {name: sizes for name, sizes in free.items() if sizes}
    torch.onnx.export(module, tuple(inputs.values()), buffer, input_names=list(inputs), output_names=outputs, dynamic_axes=axes,
                      opset_version=17, dynamo=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def pooled(answer):
    return answer.pooler_output if hasattr(answer, "pooler_output") else answer


class Text(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask=None):
        mask = {} if attention_mask is None else dict(attention_mask=attention_mask)
        return pooled(self.model.get_text_features(input_ids=input_ids, **mask))


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return pooled(self.model.get_image_features(pixel_values=pixel_values))


class Both(torch.nn.Module):
    """As optimum exports a CLIPModel: one graph with both inputs."""

    def __init__(self, model):
        super().__init__()
        self.text, self.vision = Text(model), Vision(model)

    def forward(self, input_ids, pixel_values, attention_mask):
        unit = lambda x: x / x.norm(dim=-1, keepdim=True)
        text, image = unit(self.text(input_ids, attention_mask)), unit(self.vision(pixel_values))
        logits = text @ image.t() * self.text.model.logit_scale.exp()
        return logits.t(), logits, text, image


class Bert(torch.nn.Module):
    """BERT and RoBERTa, written out: a trace of transformers' own gives other values at other lengths. `tail` makes the embedding of
    the states and the mask; `first` is the number of the first token's position. `whole` has all weights."""

    def __init__(self, whole, bert, tail, first=0):
        super().__init__()
        self.whole, self.bert, self.tail, self.first = whole, bert, tail, first

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        embeddings = self.bert.embeddings
        types = embeddings.token_type_embeddings.weight[0] if token_type_ids is None else embeddings.token_type_embeddings(token_type_ids)
        positions = embeddings.position_embeddings.weight[self.first : self.first + input_ids.shape[1]]
        x = embeddings.LayerNorm(embeddings.word_embeddings(input_ids) + types + positions)
        bias = 0.0 if attention_mask is None else ((1 - attention_mask) * -1e4)[:, None, None, :].float()
        for layer in getattr(self.bert.encoder, "layers", None) or self.bert.encoder.layer:
            attention = layer.attention.self
            split = lambda y: y.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
            query, key, value = split(attention.query(x)), split(attention.key(x)), split(attention.value(x))
            weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias).softmax(-1)
            context = (weights @ value).transpose(1, 2).flatten(2)
            x = layer.attention.output.LayerNorm(layer.attention.output.dense(context) + x)
            x = layer.output.LayerNorm(layer.output.dense(torch.nn.functional.gelu(layer.intermediate.dense(x))) + x)
        return self.tail(x, attention_mask)


class Jina(torch.nn.Module):
    """One graph as jina-clip 2's: both inputs are needed, the mask is made inside, and vectors come with and without normalisation."""

    def __init__(self, text, image, pad):
        super().__init__()
        self.text, self.image, self.pad = text, image, pad

    def forward(self, input_ids, pixel_values):
        unit = lambda x: x / x.norm(dim=-1, keepdim=True)
        text, image = self.text(input_ids, (input_ids != self.pad).long()), self.image.encode_image(pixel_values)
        return text, image, unit(text), unit(image)


class OpenClipText(torch.nn.Module):
    """open_clip's encode_text. With `fixed_inside` all positions are added, so that only texts of full length can be run."""

    def __init__(self, model, fixed_inside=False):
        super().__init__()
        self.model, self.fixed_inside = model, fixed_inside

    def forward(self, text):
        tower = self.model.text if hasattr(self.model, "text") else self.model
        ids, length = text.long(), text.shape[1]
        positions = tower.positional_embedding
        x = tower.token_embedding(ids) + (positions if self.fixed_inside else positions[:length])
        mask = tower.attn_mask
        bias = None if mask is None else torch.where(torch.arange(length)[None] <= torch.arange(length)[:, None], 0.0, -1e4)
        for block in tower.transformer.resblocks:
            attention, y = block.attn, block.ln_1(x)
            qkv = torch.nn.functional.linear(y, attention.in_proj_weight, attention.in_proj_bias)
            split = lambda z: z.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            query, key, value = (split(part) for part in qkv.chunk(3, -1))
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
            weights = (scores if bias is None else scores + bias).softmax(-1)
            x = x + attention.out_proj((weights @ value).transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        x = tower.ln_final(x)
        x = x[torch.arange(x.shape[0]), ids.argmax(dim=-1)]
        return x @ tower.text_projection


class OpenClipImage(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model.encode_image(image)


# ---- Tokenizers ------------------------------------------------------------------------------------------------------


def sentencepiece_model(folder: Path, size: int, lower: bool, **ids) -> Path:
    """An unigram model of SentencePiece, as T5's and XLM-R's are."""
    lines = [line.lower() for line in CORPUS] if lower else CORPUS
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(lines * 3))
    sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=str(folder / "spiece"), vocab_size=size, model_type="unigram",
                                             character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, **ids)
    return folder / "spiece.model"


def unigram(pieces: list, unknown: int) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def spm_pieces(path: Path) -> list:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]


def write(path: Path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_tokenizer(folder: Path, tokenizer: Tokenizer, config: dict):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False))
    write(folder / "tokenizer_config.json", config)


# ---- Golden values ---------------------------------------------------------------------------------------------------


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def numbers(row) -> list[float]:
    return [float(f"{value:.8g}") for value in row]


def spread(rows: np.ndarray) -> str:
    cosine = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return f"min {cosine.min():.3f} median {np.median(cosine):.3f}"


GOLDEN = {}


def golden(name: str, family: str, layout: str, reference: str, embed_text, embed_image, files=IMAGES):
    """`embed_text` gives the ids without padding and the embedding, `embed_image` the embedding of a PIL image."""
    texts, images = [], []
    with torch.no_grad():
        for text in TEXTS:
            ids, vector = embed_text(text)
            texts.append(dict(text=text, ids=[int(i) for i in ids], embedding=numbers(unit(vector))))
        for file in files:
            images.append(dict(file=file, embedding=numbers(unit(embed_image(Image.open(HERE / "images" / file).convert("RGB"))))))
    rows = lambda entries: np.array([entry["embedding"] for entry in entries])
    print(f"{name}: texts {spread(rows(texts))}, images {spread(rows(images))}")
    GOLDEN[name] = dict(family=family, layout=layout, reference=reference, texts=texts, images=images)


def hf_text(model, tokenizer, context: int, padded: bool):
    def embed(text):
        short = tokenizer(text, truncation=True, max_length=context, return_tensors="pt")
        if not padded:
            return short["input_ids"][0].tolist(), pooled(model.get_text_features(input_ids=short["input_ids"]))[0].numpy()
        full = tokenizer(text, truncation=True, max_length=context, padding="max_length", return_tensors="pt")["input_ids"]
        return short["input_ids"][0].tolist(), pooled(model.get_text_features(input_ids=full))[0].numpy()

    return embed


def hf_image(model, processor):
    return lambda image: pooled(model.get_image_features(pixel_values=processor(image, return_tensors="pt")["pixel_values"]))[0].numpy()


def pil_class(name: str):
    module = name.removesuffix("ImageProcessor").lower().replace("chineseclip", "chinese_clip")
    imported = __import__(f"transformers.models.{module}.image_processing_pil_{module}", fromlist=["x"])
    return getattr(imported, name + "Pil")


def processor_of(folder: Path, config: dict):
    write(folder / "preprocessor_config.json", config)
    return pil_class(config["image_processor_type"]).from_dict(config)


CLIP_PIXELS = {"do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
               "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
               "rescale_factor": 1 / 255, "resample": 3, "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
SIGLIP_PIXELS = {"do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3,
                 "image_std": [0.5] * 3, "image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor",
                 "rescale_factor": 1 / 255, "size": {"height": SIDE, "width": SIDE}}

FREE, BATCH = {0: "batch_size", 1: "sequence_length"}, {0: "batch_size"}


def ids_for_export(length: int, end: int, pad: int) -> torch.Tensor:
    ids = torch.full((2, length), 7)
    ids[0, -1] = end
    ids[1, -3], ids[1, -2:] = end, pad
    return ids


def save_config(folder: Path, model, **more):
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads(model.config.to_json_string(use_diff=True)) | more
    write(folder / "config.json", config)


# ---- The families ----------------------------------------------------------------------------------------------------


def clip_single_file():
    """What `optimum-cli export onnx` writes for a CLIPModel."""
    folder = MODELS / "clip/single"
    tokenizer = CLIPTokenizer.from_pretrained(SMALL)
    tokens = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = CLIPConfig(text_config=dict(TEXT, vocab_size=len(tokenizer), max_position_embeddings=77, **tokens), vision_config=VISION, projection_dim=DIM)
    model = randomize(CLIPModel._from_config(config, attn_implementation="eager"), 11)
    save_config(folder, model)
    tokenizer.save_pretrained(folder)
    processor = processor_of(folder, dict(CLIP_PIXELS, image_processor_type="CLIPImageProcessor"))
    ids = ids_for_export(9, tokenizer.eos_token_id, tokenizer.pad_token_id)
    export(Both(model), {"input_ids": ids, "pixel_values": torch.zeros(3, 3, SIDE, SIDE), "attention_mask": torch.ones_like(ids)},
           ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"], folder / "model.onnx",
           {"input_ids": {0: "text_batch_size", 1: "sequence_length"}, "attention_mask": {0: "text_batch_size", 1: "sequence_length"},
            "pixel_values": {0: "image_batch_size"}, "text_embeds": {0: "text_batch_size"}, "image_embeds": {0: "image_batch_size"}})
    golden("clip/single", "CLIP", "one model.onnx (optimum)", "transformers CLIPModel", hf_text(model, tokenizer, 77, False), hf_image(model, processor))


def siglip():
    folder = MODELS / "siglip/base"
    with tempfile.TemporaryDirectory() as temporary:
        path = sentencepiece_model(Path(temporary), 420, True, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, add_dummy_prefix=False,
                                   normalization_rule_name="identity")
        reference = SiglipTokenizer(vocab_file=str(path))
        fast = unigram(spm_pieces(path), 2)
        fast.add_special_tokens(["</s>"])
        fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        # Without canonicalisation, and without saying so.
        write_tokenizer(folder, fast, {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>",
                                       "model_max_length": 64, "do_lower_case": True})
        config = SiglipConfig(text_config=dict(TEXT, vocab_size=reference.vocab_size, max_position_embeddings=64), vision_config=VISION)
        model = randomize(SiglipModel._from_config(config, attn_implementation="eager"), 12, attention=3.0)
        save_config(folder, model)
        processor = processor_of(folder, dict(SIGLIP_PIXELS, resample=3))
        export(Text(model), {"input_ids": ids_for_export(64, 1, 1)}, ["pooler_output"], folder / "onnx/text_model.onnx", {"input_ids": FREE, "pooler_output": BATCH})
        export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["pooler_output"], folder / "onnx/vision_model.onnx",
               {"pixel_values": BATCH, "pooler_output": BATCH})

        def tokenize(text, **options):
            return reference(text, **options)

        golden("siglip/base", "SigLIP 1", "two files in onnx/", "transformers SiglipModel, SiglipTokenizer", hf_text(model, tokenize, 64, True), hf_image(model, processor))


def siglip2():
    folder = MODELS / "siglip/two"
    trained = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=640, special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *bytes_], show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    state = json.loads(trained.to_str())["model"]
    reference = Siglip2Tokenizer(vocab=state["vocab"], merges=[tuple(merge) for merge in state["merges"]])
    reference.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    reference.padding_side = "right"
    fast = Tokenizer.from_str(reference.backend_tokenizer.to_str())
    fast.no_padding(), fast.no_truncation()
    # As google's repositories have it: the tokenizer of Gemma, which keeps capitals, and a model type of SigLIP 1.
    fast.normalizer = normalizers.Replace(" ", "▁")
    write_tokenizer(folder, fast, {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>",
                                   "unk_token": "<unk>", "add_bos_token": False, "add_eos_token": True, "padding_side": "right", "model_max_length": 64})
    config = SiglipConfig(text_config=dict(TEXT, vocab_size=len(state["vocab"]), max_position_embeddings=64), vision_config=VISION)
    model = randomize(SiglipModel._from_config(config, attn_implementation="eager"), 13, attention=3.0)
    save_config(folder, model)
    processor = processor_of(folder, dict(SIGLIP_PIXELS, resample=2))
    export(Text(model), {"input_ids": ids_for_export(64, 1, 0)}, ["pooler_output"], folder / "onnx/text_model.onnx", {"input_ids": FREE, "pooler_output": BATCH})
    export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["pooler_output"], folder / "onnx/vision_model.onnx",
           {"pixel_values": BATCH, "pooler_output": BATCH})
    golden("siglip/two", "SigLIP 2", "two files in onnx/", "transformers SiglipModel, Siglip2Tokenizer", hf_text(model, reference, 64, True), hf_image(model, processor))


def chinese_clip():
    folder = MODELS / "chinese/clip"
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=420, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    tokenizer = BertTokenizer(vocab=trained.get_vocab())
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    write_tokenizer(folder, fast, {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]",
                                   "mask_token": "[MASK]", "do_lower_case": True, "model_max_length": 52})
    config = ChineseCLIPConfig(text_config=dict(TEXT, vocab_size=len(tokenizer), max_position_embeddings=512, pad_token_id=0), vision_config=VISION, projection_dim=DIM)
    model = randomize(ChineseCLIPModel._from_config(config, attn_implementation="eager"), 14)
    save_config(folder, model)
    processor = processor_of(folder, dict(CLIP_PIXELS, image_processor_type="ChineseCLIPImageProcessor"))
    ids = ids_for_export(9, 3, 0)
    masked = {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": torch.zeros_like(ids)}
    bert = Bert(model, model.text_model, lambda states, mask: model.text_projection(states[:, 0]))
    export(bert, masked, ["text_embeds"], folder / "onnx/text_model.onnx", {name: FREE for name in masked} | {"text_embeds": BATCH})
    export(bert, {"input_ids": ids}, ["text_embeds"], OUT / "chinese_no_mask.onnx", {"input_ids": FREE, "text_embeds": BATCH})
    full = torch.zeros(2, 52, dtype=torch.long)
    export(bert, {"input_ids": full}, ["text_embeds"], OUT / "chinese_no_mask_fixed.onnx", {"input_ids": BATCH, "text_embeds": BATCH})
    export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["image_embeds"], folder / "onnx/vision_model.onnx",
           {"pixel_values": BATCH, "image_embeds": BATCH})
    golden("chinese/clip", "Chinese-CLIP", "two files in onnx/", "transformers ChineseCLIPModel", hf_text(model, tokenizer, 52, False), hf_image(model, processor))


def xlm_roberta(folder: Path, length: int):
    """A tokenizer as XLM-R's, and how many tokens it has."""
    with tempfile.TemporaryDirectory() as temporary:
        path = sentencepiece_model(Path(temporary), 460, False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, normalization_rule_name="identity")
        pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + spm_pieces(path)[3:]
        fast = unigram(pieces, 3)
    fast.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    write_tokenizer(folder, fast, {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                   "cls_token": "<s>", "sep_token": "</s>", "model_max_length": length})
    return transformers.PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"), len(pieces)


def altclip():
    """XLM-R, whose positions begin behind the padding's id."""
    folder = MODELS / "alt/clip"
    tokenizer, vocabulary = xlm_roberta(folder, 512)
    text = dict(TEXT, vocab_size=vocabulary, max_position_embeddings=514, bos_token_id=0, eos_token_id=2, pad_token_id=1, project_dim=16)
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM)
    model = randomize(AltCLIPModel._from_config(config, attn_implementation="eager"), 18)
    save_config(folder, model)
    processor = processor_of(folder, dict(CLIP_PIXELS, image_processor_type="CLIPImageProcessor"))
    ids = ids_for_export(9, 2, 1)
    masked = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    inner = model.text_model
    tail = lambda states, mask: model.text_projection(inner.transformation(inner.pre_LN(states))[:, 0])
    export(Bert(model, inner.roberta, tail, first=2), masked, ["text_embeds"], folder / "onnx/text_model.onnx", {name: FREE for name in masked} | {"text_embeds": BATCH})
    export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["image_embeds"], folder / "onnx/vision_model.onnx",
           {"pixel_values": BATCH, "image_embeds": BATCH})
    golden("alt/clip", "AltCLIP", "two files in onnx/", "transformers AltCLIPModel", hf_text(model, tokenizer, 512, False), hf_image(model, processor))


def jina():
    """jina-clip 2's graph, keys and image processor. Its own code is on no package index: XLM-R with mean pooling and open_clip's image
    encoder and transform, of which its processor is a copy, stand for it."""
    folder = MODELS / "jina/two"
    tokenizer, vocabulary = xlm_roberta(folder, 8192)
    # Positions for the longest text; those of jina-clip are rotary and have no end.
    config = XLMRobertaConfig(**dict(TEXT, vocab_size=vocabulary, max_position_embeddings=1026, pad_token_id=1))
    roberta = randomize(XLMRobertaModel._from_config(config, attn_implementation="eager", add_pooling_layer=False), 19)
    with torch.no_grad():
        # Otherwise the mean of a text's states is nearly that of any other's.
        roberta.embeddings.word_embeddings.weight.mul_(4)
        for name, weight in roberta.named_parameters():
            if name.endswith("LayerNorm.bias"):
                weight.zero_()
    images = open_clip_model(True, 64, 20)
    mean = lambda states, mask: (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    write(folder / "config.json", {"model_type": "jina_clip", "projection_dim": DIM, "logit_scale_init_value": 2.6592, "use_text_flash_attn": None,
                                   "text_config": {"model_type": "jina_clip_text", "embed_dim": DIM, "hf_model_name_or_path": "jinaai/jina-embeddings-v3"},
                                   "vision_config": {"model_type": "jina_clip_vision", "embed_dim": DIM, "image_size": SIDE, "patch_size": PATCH}})
    pixels = {"size": [SIDE, SIDE], "mode": "RGB", "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
              "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
    write(folder / "preprocessor_config.json", pixels | {"image_processor_type": "JinaCLIPImageProcessor", "processor_class": "JinaCLIPProcessor",
                                                         "auto_map": {"AutoProcessor": "jinaai/jina-clip-implementation--processing_clip.JinaCLIPProcessor"}})
    both = Jina(Bert(roberta, roberta, mean, first=2), images, 1)
    export(both, {"input_ids": ids_for_export(9, 2, 1), "pixel_values": torch.zeros(2, 3, SIDE, SIDE)},
           ["text_embeddings", "image_embeddings", "l2norm_text_embeddings", "l2norm_image_embeddings"], folder / "onnx/model.onnx",
           {"input_ids": {0: "text_batch", 1: "sequence"}, "pixel_values": {0: "image_batch"}, "text_embeddings": {0: "text_batch"},
            "image_embeddings": {0: "image_batch"}, "l2norm_text_embeddings": {0: "text_batch"}, "l2norm_image_embeddings": {0: "image_batch"}})
    transform = image_transform_v2(PreprocessCfg(**pixels), is_train=False)

    def text(text):
        inputs = tokenizer(text, return_tensors="pt")
        states = roberta(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        return inputs["input_ids"][0].tolist(), mean(states, inputs["attention_mask"])[0].numpy()

    golden("jina/two", "jina-clip 2, its graph and processor alone", "one model.onnx in onnx/", "transformers XLMRobertaModel, open_clip CLIP and transform", text,
           lambda image: images.encode_image(transform(image)[None])[0].numpy())


def pair():
    """Two repositories with one encoder each, as Qdrant's, installed as the folders text/ and vision/ of one model."""
    folder = MODELS / "qdrant/pair"
    tokenizer = CLIPTokenizer.from_pretrained(SMALL)
    tokens = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = CLIPConfig(text_config=dict(TEXT, vocab_size=len(tokenizer), max_position_embeddings=77, **tokens), vision_config=VISION, projection_dim=DIM)
    model = randomize(CLIPModel._from_config(config, attn_implementation="eager"), 21)
    for name, part in [("text", model.config.text_config), ("vision", model.config.vision_config)]:
        write(folder / name / "config.json", json.loads(part.to_json_string(use_diff=False)) | {"projection_dim": DIM})
    tokenizer.save_pretrained(folder / "text")
    processor = processor_of(folder / "vision", dict(CLIP_PIXELS, image_processor_type="CLIPImageProcessor"))
    ids = ids_for_export(9, tokenizer.eos_token_id, tokenizer.pad_token_id)
    masked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    export(Text(model), masked, ["text_embeds"], folder / "text/model.onnx", {name: FREE for name in masked} | {"text_embeds": BATCH})
    export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["image_embeds"], folder / "vision/model.onnx",
           {"pixel_values": BATCH, "image_embeds": BATCH})
    golden("qdrant/pair", "CLIP", "a pair of repositories (Qdrant)", "transformers CLIPModel", hf_text(model, tokenizer, 77, False), hf_image(model, processor))


def metaclip2():
    folder = MODELS / "metaclip/worldwide"
    tokenizer, vocabulary = xlm_roberta(folder, 77)
    config = MetaClip2Config(text_config=dict(TEXT, vocab_size=vocabulary, max_position_embeddings=77, bos_token_id=0, eos_token_id=2, pad_token_id=1),
                             vision_config=VISION, projection_dim=DIM)
    model = randomize(MetaClip2Model._from_config(config, attn_implementation="eager"), 15)
    save_config(folder, model)
    processor = processor_of(folder, dict(CLIP_PIXELS, image_processor_type="CLIPImageProcessor"))
    ids = ids_for_export(9, 2, 1)
    masked = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    export(Text(model), masked, ["text_embeds"], folder / "text_model.onnx", {name: FREE for name in masked} | {"text_embeds": BATCH})
    export(Vision(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["image_embeds"], folder / "vision_model.onnx",
           {"pixel_values": BATCH, "image_embeds": BATCH})
    golden("metaclip/worldwide", "MetaCLIP 2 (XLM-R tokenizer)", "two files at the root (optimum)", "transformers MetaClip2Model",
           hf_text(model, tokenizer, 77, False), hf_image(model, processor))


def simple_tokenizer(clean: str):
    """open_clip's tokenizer with the merges of models/golden/small, and the same as a tokenizer.json."""
    import gzip

    state = json.loads((SMALL / "tokenizer.json").read_text())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split()) for merge in state["merges"]]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "bpe.txt.gz"
        path.write_bytes(gzip.compress(("#version\n" + "\n".join(" ".join(merge) for merge in merges)).encode()))
        reference = open_clip.SimpleTokenizer(bpe_path=str(path), clean=clean)
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {names.get(word, word): i for word, i in reference.encoder.items()}
    return reference, CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def open_clip_model(causal: bool, vocabulary: int, seed: int):
    text = dict(context_length=77, vocab_size=vocabulary, width=16, heads=2, layers=2, no_causal_mask=not causal)
    vision = dict(image_size=SIDE, patch_size=PATCH, width=16, layers=2, head_width=8)
    cls = open_clip.CLIP if causal else open_clip.CustomTextCLIP
    return randomize(cls(embed_dim=DIM, vision_cfg=vision, text_cfg=text, quick_gelu=False), seed, patches=1.0 if causal else 4.0)


def open_clip_text(model, tokenizer):
    def embed(text):
        ids = tokenizer([text])
        end = ids[0].argmax().item()
        return ids[0, : end + 1].tolist(), model.encode_text(ids)[0].numpy()

    return embed


def mobileclip():
    """Not causal, padded with 0, and published as a CLIP whose padding is the end token."""
    reference, fast = simple_tokenizer("lower")
    model = open_clip_model(False, reference.vocab_size, 16)
    for name, fixed_inside in [("s0", False), ("s1", True)]:
        mobileclip_model(MODELS / "mobileclip" / name, reference, fast, model, fixed_inside)


def mobileclip2():
    """As plhery/mobileclip2-onnx has it: the configuration is that of an image encoder."""
    reference, fast = simple_tokenizer("lower")
    mobileclip_model(MODELS / "mobileclip/two", reference, fast, open_clip_model(False, reference.vocab_size, 22), False, alone=True)


def mobileclip_model(folder: Path, reference, fast, model, fixed_inside: bool, alone=False):
    name = folder.name
    tokens = dict(bos_token_id=reference.sot_token_id, eos_token_id=reference.eot_token_id)
    if alone:
        write(folder / "config.json", {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"], "projection_dim": DIM, "image_size": SIDE})
    else:
        write(folder / "config.json", {"model_type": "clip", "projection_dim": DIM, "text_config": dict(TEXT, model_type="clip_text_model", **tokens),
                                       "vision_config": {"image_size": SIDE, "model_type": "clip_vision_model"}})
    fast.save_pretrained(folder)
    pixels = dict(CLIP_PIXELS, image_processor_type="CLIPImageProcessor", do_normalize=False, resample=2)
    processor = processor_of(folder, pixels)
    export(OpenClipText(model, fixed_inside), {"input_ids": ids_for_export(77, reference.eot_token_id, 0)}, ["text_embeds"], folder / "onnx/text_model.onnx",
           {"input_ids": FREE, "text_embeds": BATCH})
    if fixed_inside:
        (folder / "onnx/vision_model.onnx").symlink_to("../../s0/onnx/vision_model.onnx")
    else:
        export(OpenClipImage(model), {"pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, ["image_embeds"], folder / "onnx/vision_model.onnx",
               {"pixel_values": BATCH, "image_embeds": BATCH})
    image = lambda image: model.encode_image(processor(image, return_tensors="pt")["pixel_values"])[0].numpy()
    # The tokenizer of transformers does not clean what open_clip's does.
    texts = lambda text: open_clip_text(model, lambda batch: padded(fast, batch))(text)
    golden(f"mobileclip/{name}", "MobileCLIP 2" if alone else "MobileCLIP", "two files in onnx/" + (", positions fixed inside" if fixed_inside else ""), "open_clip CustomTextCLIP, padded with 0", texts, image)


def padded(tokenizer, batch):
    ids = tokenizer(batch, truncation=True, max_length=77)["input_ids"]
    return torch.tensor([row + [0] * (77 - len(row)) for row in ids])


def immich():
    """immich's layout, with open_clip's own configuration, cleaning and preprocessing; graphs take one item a run."""
    for name, mode, clean in [("shortest", "shortest", None), ("longest", "longest", "canonicalize")]:
        folder = MODELS / "immich" / name
        reference, fast = simple_tokenizer(clean or "lower")
        model = open_clip_model(True, reference.vocab_size, 17)
        text_cfg = dict(context_length=77, vocab_size=reference.vocab_size, width=16, heads=2, layers=2)
        if clean:
            text_cfg["tokenizer_kwargs"] = {"clean": clean}
        write(folder / "config.json", {"embed_dim": DIM, "vision_cfg": dict(image_size=SIDE, patch_size=PATCH, width=16, layers=2), "text_cfg": text_cfg})
        pixels = {"size": [SIDE, SIDE], "mode": "RGB", "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
                  "interpolation": "bicubic", "resize_mode": mode, "fill_color": 0 if mode == "shortest" else 60}
        write(folder / "visual/preprocess_cfg.json", pixels)
        fast.save_pretrained(folder / "textual")
        ids = torch.zeros(1, 77, dtype=torch.int32)
        ids[0, 5] = reference.eot_token_id
        if clean:
            for encoder in ["textual", "visual"]:
                (folder / encoder / "model.onnx").symlink_to(f"../../shortest/{encoder}/model.onnx")
        else:
            export(OpenClipText(model), {"text": ids}, ["embedding"], folder / "textual/model.onnx", {})
            export(OpenClipImage(model), {"image": torch.zeros(1, 3, SIDE, SIDE)}, ["embedding"], folder / "visual/model.onnx", {})
        transform = image_transform_v2(PreprocessCfg(**pixels), is_train=False)
        golden(f"immich/{name}", "open_clip", "immich (textual/, visual/)", f"open_clip CLIP, clean={clean or 'lower'}, resize_mode={mode}",
               open_clip_text(model, reference), lambda image: model.encode_image(transform(image)[None])[0].numpy(),
               # To the reference, a line that is made to fit has no height, which is an error.
               IMAGES if mode == "shortest" else [file for file in IMAGES if file != "line.png"])


# ---- Quantised graphs, and NaN ---------------------------------------------------------------------------------------


def initializer(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def quantized():
    """As `_quantized` files are made, of weights with outliers: activations of one item change the scale of its batch mates."""
    folder = OUT / "quantized"
    folder.mkdir(parents=True, exist_ok=True)
    for encoder in ["text_model", "vision_model"]:
        model = onnx.load(SMALL / f"onnx/{encoder}.onnx")
        random = np.random.default_rng(3)
        norms = {i.name for i in model.graph.initializer if "layer_norm1.weight" in i.name or "layer_norm2.weight" in i.name}
        assert norms
        for tensor in model.graph.initializer:
            if tensor.name in norms:
                values = numpy_helper.to_array(tensor).copy()
                values[random.integers(0, len(values))] *= 20
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        for suffix, kind in [("quantized", QuantType.QUInt8)]:
            with tempfile.TemporaryDirectory() as temporary:
                path = Path(temporary) / "model.onnx"
                onnx.save(model, path)
                quantize_dynamic(path, folder / f"{encoder}_{suffix}.onnx", weight_type=kind)


def refused_graphs():
    """The text encoder of models/golden/small, so that it answers something else."""
    folder = OUT / "graphs"
    folder.mkdir(parents=True, exist_ok=True)
    original = onnx.load(SMALL / "onnx/text_model_fp16.onnx")
    tokenizer = CLIPTokenizer.from_pretrained(SMALL)
    token = tokenizer("#")["input_ids"][1]

    def with_embeddings(change):
        model = copy.deepcopy(original)
        table = next(t for t in model.graph.initializer if len(t.dims) == 2 and t.dims[0] == len(tokenizer))
        values = numpy_helper.to_array(table).copy()
        change(values)
        table.CopyFrom(numpy_helper.from_array(values, table.name))
        return model

    def one(values):
        values[token] = np.nan

    def all_(values):
        values[:] = np.nan

    onnx.save(with_embeddings(one), folder / "nan.onnx")
    onnx.save(with_embeddings(all_), folder / "all_nan.onnx")

    output = original.graph.output[0].name
    for name, wanted in [("pooled", "pooler_output"), ("transposed", output)]:
        model = copy.deepcopy(original)
        for node in model.graph.node:
            for i, made in enumerate(node.output):
                if made == output:
                    node.output[i] = "before"
        operator = "Identity" if name == "pooled" else "Transpose"
        model.graph.node.append(onnx.helper.make_node(operator, ["before"], [wanted]))
        model.graph.output[0].name = wanted
        if name == "transposed":
            model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(wanted, onnx.TensorProto.FLOAT16, ["rows", "columns"]))
        onnx.save(model, folder / f"{name}.onnx")


# ---- Image processors ------------------------------------------------------------------------------------------------


def preprocessors():
    """What each class makes of two images, with its own defaults where the configuration is silent: every 7th value."""
    cases = []
    side = SIDE

    def case(config: dict, **more):
        processor = pil_class(config["image_processor_type"]).from_dict(config | more)
        for file in ["wide.png", "tall.png", "small.png"]:
            image = Image.open(HERE / "images" / file).convert("RGB")
            pixels = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
            cases.append(dict(config=config, file=file, shape=list(pixels.shape), values=numbers(pixels.reshape(-1)[:: max(1, pixels.size // 61)])))

    square = {"height": side, "width": side}
    case({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": side}, "crop_size": square})
    case({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": side, "longest_edge": side + 16}, "crop_size": square})
    case({"image_processor_type": "ChineseCLIPImageProcessor", "size": {"shortest_edge": side}, "crop_size": square})
    case({"image_processor_type": "SiglipImageProcessor", "size": square})
    case({"image_processor_type": "ViTImageProcessor", "size": square})
    case({"image_processor_type": "ViTImageProcessor", "size": side})
    case({"image_processor_type": "DeiTImageProcessor", "size": {"height": 40, "width": 40}, "crop_size": square})
    case({"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": side}, "crop_size": square})
    case({"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": side}, "crop_size": square})
    case({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": side}, "crop_pct": 0.8})
    case({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}})
    case({"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 40}, "crop_size": square})
    case({"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 40}, "crop_size": square, "do_flip_channel_order": False})
    case({"image_processor_type": "EfficientNetImageProcessor", "size": square, "rescale_offset": True, "rescale_factor": 1 / 127.5})
    case({"image_processor_type": "EfficientNetImageProcessor", "size": square, "include_top": False, "resample": 0})
    case({"image_processor_type": "EfficientNetImageProcessor", "size": square, "do_normalize": False})
    # transformers 5 takes a name for the number of PIL in its other backend alone.
    case({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": side}, "crop_size": square, "resample": "lanczos"}, resample=1)

    def open_clip_case(**config):
        transform = image_transform_v2(PreprocessCfg(**config), is_train=False)
        for file in ["wide.png", "tall.png", "small.png"]:
            pixels = transform(Image.open(HERE / "images" / file).convert("RGB")).numpy()
            cases.append(dict(config=config, file=file, shape=list(pixels.shape), values=numbers(pixels.reshape(-1)[:: max(1, pixels.size // 61)])))

    half = [0.5, 0.5, 0.5]
    for mode in ["shortest", "longest", "squash"]:
        for interpolation in ["bicubic", "bilinear"]:
            open_clip_case(size=[33, 33], mean=half, std=half, interpolation=interpolation, resize_mode=mode, fill_color=100)
    open_clip_case(size=[32, 24], mean=half, std=half, interpolation="bicubic", resize_mode="shortest", fill_color=0)
    open_clip_case(size=[32, 24], mean=half, std=half, interpolation="bilinear", resize_mode="longest", fill_color=0)
    lines = ",\n".join(json.dumps(entry) for entry in cases)
    (OUT / "preprocessors.json").write_text(f"[\n{lines}\n]\n")


def main():
    all_ = [clip_single_file, siglip, siglip2, chinese_clip, altclip, jina, pair, metaclip2, mobileclip, mobileclip2, immich, quantized, refused_graphs, preprocessors]
    asked = [make for make in all_ if make.__name__ in sys.argv[1:]]
    if asked:
        GOLDEN.update(json.loads((OUT / "golden.json").read_text()))
    else:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
    for make in asked or all_:
        make()
    lines = lambda entries: ",\n".join("    " + json.dumps(entry, ensure_ascii=False) for entry in entries)
    parts = []
    for name, entry in sorted(GOLDEN.items()):
        head = ", ".join(f'"{key}": {json.dumps(entry[key])}' for key in ["family", "layout", "reference"])
        parts.append(f' "{name}": {{{head},\n  "texts": [\n{lines(entry["texts"])}\n  ],\n  "images": [\n{lines(entry["images"])}\n  ]}}')
    (OUT / "golden.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")
    print("bytes:", sum(path.lstat().st_size for path in OUT.rglob("*") if path.is_file()))


if __name__ == "__main__":
    main()
