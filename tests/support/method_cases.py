"""Options of every method, and a batch with ignored labels, clouds and nodata."""

import copy
import re
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from overcast.batch import Batch
from overcast.methods.base import Method
from overcast.methods.collaborative import CollaborativeLearning, CollaborativeOptions, MsalTerms
from overcast.methods.disoptnet import DisoptnetOptions
from overcast.methods.distillation import CwdOptions, KdOptions, StudentKind, TeacherKind
from overcast.methods.garcia import GarciaOptions
from overcast.methods.hallucination import Features, HallucinationOptions
from overcast.methods.losses import TeacherGradient
from overcast.methods.mmanet import MmanetOptions
from overcast.methods.modality_dropout import ModalityDropoutOptions
from overcast.methods.one_stream import OneStream, OneStreamOptions, SoftTeacher
from overcast.methods.optical_init import OpticalInitOptions
from overcast.methods.options import MethodOptions, build_deployable, build_method
from overcast.methods.self_training import SelfTrainingOptions
from overcast.methods.shaspec import ShaspecOptions
from overcast.methods.supervised import FusionOptions, OpticalOptions, SarOptions, SarTwinOptions
from overcast.methods.teacher import Schedule
from overcast.methods.translation import TranslationOptions
from overcast.models.network import NetworkSpec, Sharing
from overcast.raster.radiometry import BandStatistics, Statistics

SPEC = NetworkSpec(
    encoder="tu-test_resnet",
    pretrained=False,
    decoder_channels=(16, 8, 8, 8, 8),
    fusion_channels=8,
    sar_bands=2,
    optical_bands=3,
)
STATISTICS = Statistics(
    sar=BandStatistics(mean=(20.0, 30.0), std=(4.0, 5.0)),
    optical=BandStatistics(mean=(90.0, 80.0, 60.0), std=(30.0, 20.0, 40.0)),
)
LITERATURE: list[MethodOptions] = [
    ModalityDropoutOptions(),
    KdOptions(),
    CwdOptions(),
    HallucinationOptions(),
    GarciaOptions(),
    DisoptnetOptions(),
    ShaspecOptions(),
    MmanetOptions(),
    TranslationOptions(),
    SelfTrainingOptions(),
    OpticalInitOptions(),
]
EVERY_OPTION = [
    SarOptions(),
    SarTwinOptions(),
    OpticalOptions(),
    FusionOptions(),
    CollaborativeOptions(),
    CollaborativeOptions(msal=False),
    CollaborativeOptions(mfal=False),
    CollaborativeOptions(msal=False, mfal=False),
    CollaborativeOptions(msal_terms=MsalTerms.SHARE),
    CollaborativeOptions(msal_terms=MsalTerms.OUTPUT),
    CollaborativeOptions(teacher_gradient=TeacherGradient.MUTUAL, auxiliary_sar=True),
    CollaborativeOptions(schedule=Schedule.TEACHER_FIRST),
    *LITERATURE,
    KdOptions(student=StudentKind.SINGLE, teacher=TeacherKind.BOTH, schedule=Schedule.JOINT),
    HallucinationOptions(features=Features.BOTH, schedule=Schedule.JOINT),
    DisoptnetOptions(schedule=Schedule.JOINT),
    OneStreamOptions(teacher="teacher"),
]
STEPS = 100


def label_of(options: MethodOptions) -> str:
    return re.sub(r"[^a-z_=]+", "-", f"{options.name} {options.model_dump(exclude_defaults=True)}")


def make_batch(height: int = 65, width: int = 97, classes: int = 2, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes, (2, height, width), generator=g, dtype=torch.uint8)
    label[:, :5] = 255
    optical_valid = torch.rand(2, 1, height, width, generator=g) > 0.3
    optical_valid[:, :, -10:] = False
    sar_valid = torch.ones_like(optical_valid)
    sar_valid[..., :9] = False
    return Batch(
        sar=torch.randn(2, 2, height, width, generator=g),
        sar_valid=sar_valid,
        optical=torch.randn(2, 3, height, width, generator=g) * optical_valid,
        optical_valid=optical_valid,
        label=label,
        keys=("a", "b"),
    )


def make(options: MethodOptions, **changes: Any) -> Any:
    """A method; untyped, since each has networks and parts of its own."""
    return copy.deepcopy(_made(options, tuple(sorted(changes.items()))))


@cache
def _made(options: MethodOptions, changes: tuple[tuple[str, object], ...]) -> Method:
    torch.manual_seed(0)
    spec = NetworkSpec.model_validate({**SPEC.model_dump(), **dict(changes)})
    method = build_method(options, spec, STATISTICS)
    if isinstance(method, OneStream):
        method.learn_from(
            SoftTeacher.of(build_deployable(CollaborativeOptions(), spec), STATISTICS.sar, STATISTICS.sar)
        )
    return method


def collaborative(sharing: Sharing = Sharing.WEIGHTS, **options: Any) -> CollaborativeLearning:
    method = make(CollaborativeOptions.model_validate(options), sharing=sharing)
    assert isinstance(method, CollaborativeLearning)
    return method


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def stage_steps(method: Method, steps: int = STEPS) -> list[int]:
    """A step in the middle of each stage."""
    ends = [round(sum(stage.share for stage in method.stages[: i + 1]) * steps) for i in range(len(method.stages))]
    return [(start + end) // 2 for start, end in zip([0, *ends], ends, strict=False)]


def losses_of_every_stage(method: Method, batch: Batch) -> dict[str, Tensor]:
    losses: dict[str, Tensor] = {}
    for step in stage_steps(method):
        torch.manual_seed(step)  # as the trainer does
        losses |= {f"{step} {name}": loss for name, loss in method.losses(batch, step, STEPS).items()}
    return losses


def train_step(method: Method, step: int, optimiser: torch.optim.Optimizer | None = None) -> None:
    """One step of AdamW with a weight decay that would be seen."""
    optimiser = optimiser or torch.optim.AdamW(method.parameters(), 1e-2, weight_decay=0.1)
    method.begin_step(step, STEPS)
    total(method.losses(make_batch(64, 64, seed=step), step, STEPS)).backward()
    optimiser.step()
    optimiser.zero_grad()


def state_of(*modules: nn.Module) -> list[Tensor]:
    return [tensor.clone() for module in modules for tensor in module.state_dict().values()]


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(before, after, strict=True))


def without_gradient(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is None and ".average." not in name]
