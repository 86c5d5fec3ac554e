"""The console's forms."""

from decimal import Decimal

from django import forms

from inference.models import LanguageModel

MIN_TOP_UP_USD = 5
MAX_TOP_UP_USD = 1_000


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        max_length=150, label="Name", widget=forms.TextInput(attrs={"placeholder": "laptop", "autocomplete": "off"})
    )


class TopUpForm(forms.Form):
    amount_usd = forms.DecimalField(
        label="Amount, USD",
        min_value=MIN_TOP_UP_USD,
        max_value=MAX_TOP_UP_USD,
        decimal_places=2,
        initial=10,
        help_text=f"From ${MIN_TOP_UP_USD} to ${MAX_TOP_UP_USD:,}. You pay on a page of Stripe.",
    )

    @property
    def amount_cents(self) -> int:
        amount_usd: Decimal = self.cleaned_data["amount_usd"]
        return int(amount_usd * 100)


class PlaygroundForm(forms.Form):
    """One turn of the playground. Every field belongs to the form `playground-form`, wherever it stands on the page."""

    prompt = forms.CharField(
        label="Message", widget=forms.Textarea(attrs={"rows": 3, "placeholder": "What is an LPU?"})
    )
    model = forms.ChoiceField(label="Model")
    system_prompt = forms.CharField(label="System prompt", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    temperature = forms.FloatField(label="Temperature", min_value=0, max_value=2, initial=1, step_size=0.1)
    top_p = forms.FloatField(label="Top p", min_value=0.05, max_value=1, initial=1)
    max_completion_tokens = forms.IntegerField(
        label="Most tokens in the answer", min_value=1, required=False, help_text="Empty: the model's default."
    )
    seed = forms.IntegerField(
        label="Seed", min_value=0, max_value=2**63 - 1, required=False, help_text="Empty: one is drawn and shown."
    )

    def __init__(self, data: object = None, *, models: list[LanguageModel]) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        self.fields["model"].choices = [(model.pk, model.display_name) for model in models]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["form"] = "playground-form"
        self.fields["top_p"].widget.attrs["step"] = "0.05"

    @property
    def first_error(self) -> str:
        """What to tell somebody whose turn was not accepted."""
        for name, errors in self.errors.items():
            label = self.fields[name].label if name in self.fields else ""
            return f"{label}: {errors[0]}"
        return ""
