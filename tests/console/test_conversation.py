from console.conversation import build_chat
from inference.types import Message

FIELDS = {
    "prompt": "And now?",
    "model": "lpu-demo",
    "system_prompt": "",
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": None,
    "max_completion_tokens": 7,
}


def test_earlier_turns_go_before_the_new_prompt_in_their_order() -> None:
    posted = {"user-a": "One?", "user-b": "Two?", "assistant-b": "2", "assistant-a": "1"}
    texts = [message.content for message in build_chat(FIELDS, posted).messages]
    assert texts == ["One?", "1", "Two?", "2", "And now?"]


def test_a_turn_without_an_answer_is_left_out() -> None:
    posted = {"user-a": "Stopped?", "user-b": "Empty?", "assistant-b": ""}
    assert build_chat(FIELDS, posted).messages == (Message(role="user", content="And now?"),)


def test_a_system_prompt_comes_first() -> None:
    chat = build_chat(FIELDS | {"system_prompt": "Be brief."}, {"user-a": "One?", "assistant-a": "1"})
    assert [message.role for message in chat.messages] == ["system", "user", "assistant", "user"]


def test_the_settings_are_taken_over() -> None:
    chat = build_chat(FIELDS, {})
    assert (chat.model, chat.temperature, chat.top_p, chat.seed, chat.max_completion_tokens) == (
        "lpu-demo",
        0.5,
        0.9,
        None,
        7,
    )
