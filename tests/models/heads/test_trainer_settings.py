from dataclasses import replace

from omicsmlm.models.heads._trainer_settings import TrainerSettings
from omicsmlm.training import FitOptions


def test_the_user_goes_before_the_head():
    settings = TrainerSettings(None, 32, "cpu", [0], False, {"logger": False})
    assert settings.fit_options(7, seed=3) == FitOptions(
        max_epochs=7, accelerator="cpu", devices=[0], patience=10, progress_bar=False, seed=3
    )
    assert replace(settings, max_epochs=2).fit_options(7, 3, patience=4) == FitOptions(
        max_epochs=2, accelerator="cpu", devices=[0], patience=4, progress_bar=False, seed=3
    )
