"""Tiny stand-ins for the models and data sets that recipes name."""

import json
from pathlib import Path
from typing import Any

from benchmarks.tiny import BERT, GPT2, rows, save_bare_tokenizer, save_model, save_tokenizer

ENVIRONMENT = (
    "BANKING77=data/banking77 TWEETEVAL=data/tweeteval NCBI_DISEASE=data/ncbi_disease NLUPP=data/nlupp "
    "NER_BASE=builtin:minilm "
    "GPT2=models/gpt2 BERT=models/bert MLM=models/mlm T5=models/t5 CHAT_BASE=models/chat "
    "RERANKER=models/bert WIKIQA=data/wikiqa.jsonl GROUNDING=data/claims.jsonl "
    "IMDB=data/imdb.csv LEGAL=data/legal.jsonl CHATS=data/chats.jsonl SUMMARIES=data/summaries.jsonl"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {{ message.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def write_data(data: Path) -> None:
    """Sixty rows each, in the format of every data set."""
    _write_labelled(data)
    _write_texts(data)


def _write_labelled(data: Path) -> None:
    """As banking77, TweetEval, the NCBI disease corpus and NLU++."""
    rows = {"banking77": ("text,category", ["card_arrival", "top_up", "lost_card"]),
            "tweeteval/sentiment": ("text,label", ["negative", "neutral", "positive"]),
            "tweeteval/emotion": ("text,label", ["anger", "joy", "sadness"]),
            "tweeteval/irony": ("text,label", ["irony", "non_irony", "irony"])}  # fmt: skip
    for name, (header, labels) in rows.items():
        (data / name).mkdir(parents=True)
        for file in ("train.csv", "test.csv", "val.csv"):
            lines = [f"{file} {labels[i % 3].replace('_', ' ')} number {i},{labels[i % 3]}" for i in range(60)]
            (data / name / file).write_text("\n".join([header, *lines]) + "\n")
    (data / "ncbi_disease").mkdir()
    for file in ("train", "devel", "test"):
        sentences = [f"{file}\tO\n{i}\tO\nataxia\tB-Disease\ntype\tI-Disease\n" for i in range(60)]
        (data / "ncbi_disease" / f"{file}.tsv").write_text("\n".join(sentences))
    (data / "nlupp").mkdir()
    _write_pairs(data)
    turns = [{"text": f"number {i}", "intents": ["pin", "card"][: i % 3]} for i in range(60)]
    _write(data / "nlupp" / "banking.jsonl", turns)


def _write_pairs(data: Path) -> None:
    """As WikiQA: three answers to a question, one of them right; and claims about documents."""
    ids, answers = [i // 3 for i in range(60)], [{"answer": f"answer {i}", "label": i % 3 // 2} for i in range(60)]
    asked = [
        {"question_id": f"Q{at}", "question": f"question {at}", **row} for at, row in zip(ids, answers, strict=True)
    ]
    _write(data / "wikiqa.jsonl", asked)
    said = [{"claim": f"claim {i}", "label": "un" * (i % 2) + "supported"} for i in range(60)]
    _write(
        data / "claims.jsonl", [{**row, "source": f"source {i // 4}", "document": i // 4} for i, row in enumerate(said)]
    )


def _write_texts(data: Path) -> None:
    """Reviews, documents, chats, documents with summaries."""
    every = rows(60, seed=2)
    (data / "imdb.csv").write_text("text,label\n" + "".join(f"{text},{len(text) % 2}\n" for text, _ in every))
    _write(data / "legal.jsonl", [{"text": " ".join([text] * 9)} for text, _ in every])
    _write(data / "summaries.jsonl", [{"document": text, "summary": label} for text, label in every])
    asked = [" ".join(text.split()[:2]) + f" w{i % 40}" for i, (text, _) in enumerate(every)]
    chats = [[{"role": "user", "content": text}, {"role": "assistant", "content": "moon"}] for text in asked]
    _write(data / "chats.jsonl", [{"messages": chat} for chat in chats])


def write_models(models: Path) -> None:
    """A decoder, an encoder, one with a mask token, a reader and writer, and a decoder that chats."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer, bare = save_tokenizer(models / "tokenizer"), save_bare_tokenizer(models / "bare")
    save_model(models / "gpt2", bare, "gpt2", {**GPT2, "n_positions": 512})
    save_model(models / "bert", tokenizer, "bert", BERT)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    save_model(models / "chat", bare, "llama", {**sizes, "tie_word_embeddings": True})
    chatting = AutoTokenizer.from_pretrained(models / "chat")
    chatting.chat_template = CHAT_TEMPLATE
    chatting.save_pretrained(models / "chat")
    torch.manual_seed(0)
    masked = AutoTokenizer.from_pretrained(tokenizer)
    masked.add_special_tokens({"mask_token": "[MASK]"})
    whole: list[tuple[str, Any, Any]] = [
        ("mlm", AutoModelForMaskedLM, AutoConfig.for_model("bert", vocab_size=len(masked), **BERT)),
        (
            "t5",
            AutoModelForSeq2SeqLM,
            AutoConfig.for_model(
                "t5",
                vocab_size=len(masked),
                d_model=32,
                d_kv=16,
                d_ff=64,
                num_layers=2,
                num_heads=2,
                decoder_start_token_id=0,
            ),
        ),
    ]
    for name, kind, config in whole:
        kind.from_config(config).save_pretrained(models / name)
        masked.save_pretrained(models / name)


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
