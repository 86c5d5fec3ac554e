from console.charts import HEIGHT, WIDTH, draw_chart


def test_the_tallest_bar_is_as_tall_as_the_chart_and_others_in_proportion() -> None:
    chart = draw_chart(title="Tokens", days=["a", "b", "c"], values=[0, 50, 100], as_text=str)
    assert [bar.height for bar in chart.bars] == [0.0, HEIGHT / 2, HEIGHT]
    assert [bar.y + bar.height for bar in chart.bars] == [HEIGHT] * 3
    assert chart.bars[-1].x + chart.bars[-1].width < WIDTH


def test_a_tiny_day_stays_visible() -> None:
    chart = draw_chart(title="Tokens", days=["a", "b"], values=[1, 10**9], as_text=str)
    assert chart.bars[0].height == 1.0


def test_days_without_any_use_draw_nothing() -> None:
    chart = draw_chart(title="Tokens", days=["a"], values=[0], as_text=str)
    assert chart.bars[0].height == 0.0
