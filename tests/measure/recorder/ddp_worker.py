"""One of the processes of `test_ddp`: `torchrun ddp_worker.py FOLDER` trains on its half of every batch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).parent))

from recorder_cases import Modes, batches, network

from limen.measure.recorder.recorder import record

STEPS, SIZE = 60, 16
OPTIONS = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}


def main(folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    net = DistributedDataParallel(network(seed=rank))  # which gives rank 1 the weights of rank 0
    optimizer = torch.optim.SGD(net.parameters(), **OPTIONS)
    with record(net, optimizer, folder, modes=Modes(net), batch_size=SIZE, every=25) as run:
        for x, y in batches(STEPS, SIZE):
            loss = torch.nn.functional.cross_entropy(net(x[rank::world]), y[rank::world])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = loss.detach().clone()
            distributed.all_reduce(total)
            run.step(total / world)
        assert run.active == (rank == 0)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
