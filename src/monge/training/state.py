"""Everything that a training must find again after a kill."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from monge.errors import BadInput


class State:
    """Weights, their running average and the best of it, optimisers, and what is not a weight.

    Buffers (chains, running statistics) may differ between processes: those of all are kept, and each process takes
    its own again.

    whole: model and objectives. average, best: the running average of the model's weights, and as it was at the lowest
    held-out loss.
    """

    def __init__(self, model: nn.Module, objectives: Sequence[nn.Module], device: torch.device) -> None:
        parts = {f"objective {i}": objective for i, objective in enumerate(objectives)}
        self.whole = nn.ModuleDict({"model": model, **parts}).to(device)
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.best: dict[str, Tensor] = {}
        self.optimizers: list[torch.optim.Optimizer] = []

    def track(self, decay: float) -> None:
        """average <- decay average + (1 - decay) weights."""
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """The model as it would be kept now, averaged and in its mode of use; afterwards all is as it was."""
        self.swap_average()
        self.whole.eval()
        buffers = {name: buffer.clone() for name, buffer in self.buffers().items()}
        try:
            yield
        finally:
            for name, buffer in self.buffers().items():
                buffer.copy_(buffers[name])
            self.whole.train()
            self.swap_average()

    def swap_average(self) -> None:
        """Weights and average change places."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.data, self.average[name] = self.average[name], parameter.data

    def keep_best(self) -> None:
        self.best = {name: value.clone() for name, value in self.average.items()}

    def tensors(self, fabric: Any) -> dict[str, Tensor]:
        """What a checkpoint holds; every process must ask."""
        found = {f"weights/{name}": p.detach() for name, p in self.whole.named_parameters()}
        found |= {f"average/{name}": value for name, value in self.average.items()}
        found |= {f"best/{name}": value for name, value in self.best.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                found |= {f"optimizer/{i}/{j}/{name}": torch.as_tensor(value) for name, value in state.items()}
        for name, buffer in self.buffers().items():
            every = fabric.all_gather(buffer) if fabric.world_size > 1 else buffer[None]
            found |= {f"buffers/{rank}/{name}": value for rank, value in enumerate(every)}
        return found

    def load(self, tensors: dict[str, Tensor], rank: int) -> None:
        """Take back what `tensors` gave. Raises BadInput if there is nothing for this process."""
        groups: dict[str, dict[str, Tensor]] = {
            name: {} for name in ("weights", "average", "best", "optimizer", "buffers")
        }
        for name, value in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = value
        with torch.no_grad():
            for name, parameter in self.whole.named_parameters():
                parameter.copy_(groups["weights"][name])
            for name, value in groups["average"].items():
                self.average[name].copy_(value)
            for name, buffer in self.buffers().items():
                if f"{rank}/{name}" not in groups["buffers"]:
                    raise BadInput(
                        f"the run was trained by fewer processes, each with {name} of its own: go on with as many"
                    )
                buffer.copy_(groups["buffers"][f"{rank}/{name}"])
        device = next(iter(self.average.values())).device
        self.best = {name: value.to(device) for name, value in groups["best"].items()}
        for i, optimizer in enumerate(self.optimizers):
            whole = optimizer.state_dict()
            whole["state"] = {}
            moved = [p for group in optimizer.param_groups for p in group["params"]]
            for path, value in groups["optimizer"].items():
                which, j, field = path.split("/")
                if int(which) == i:
                    p = moved[int(j)]
                    if value.shape == p.shape:  # fused steps take it that all lie in memory as the parameter does
                        value = torch.empty_like(p, dtype=value.dtype).copy_(value)
                    whole["state"].setdefault(int(j), {})[field] = value
            optimizer.load_state_dict(whole)

    def buffers(self) -> dict[str, Tensor]:
        """By name, each once, those that are kept."""
        kept = self.whole.state_dict()
        return {name: buffer for name, buffer in self.whole.named_buffers() if name in kept}
