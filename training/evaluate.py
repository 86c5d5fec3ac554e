"""Prints what a checkpoint answers to the committed prompts: `python -m training.evaluate`. Greedy, so it repeats.

Whether an answer is grammatical and on the topic is for a reader to judge; this only shows it. Needs no torch.
"""

import argparse
import json
from pathlib import Path

from lpu_backend import ChatModel, SamplingParams, load_model

_PROMPTS = Path(__file__).parent / "prompts.json"
_GREEDY = SamplingParams(max_completion_tokens=256, temperature=0.0)


def read_prompts() -> list[dict[str, str]]:
    """The committed prompts: `prompt`, and `system` where the conversation has one."""
    prompts: list[dict[str, str]] = json.loads(_PROMPTS.read_text(encoding="utf-8"))
    return prompts


def answer_prompt(model: ChatModel, prompt: dict[str, str]) -> tuple[str, str]:
    """The greedy answer and its finish reason."""
    roles = (("system", prompt.get("system", "")), ("user", prompt["prompt"]))
    messages = [{"role": role, "content": content} for role, content in roles if content]
    steps = list(model.generate(model.tokenizer.encode_chat(messages), _GREEDY))
    return "".join(step.text for step in steps), steps[-1].finish_reason or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/lpu-demo"), help="checkpoint folder")
    model = load_model(parser.parse_args().model)
    for number, prompt in enumerate(read_prompts(), 1):
        answer, finish_reason = answer_prompt(model, prompt)
        if "system" in prompt:
            print(f"{number:2}. (system: {prompt['system']})")
        print(f"{number:2}. > {prompt['prompt']}\n{answer}\n    [{finish_reason}]\n")


if __name__ == "__main__":
    main()
