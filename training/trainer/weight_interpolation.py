"""Make a network between the weights that a run began with and those that it ended with.

A run on strongly varied images improves on such images and may get worse on others. Halfway between its two ends, a
network is often good on both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
https://arxiv.org/abs/2109.01903).
"""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from model.checkpoint import load_network, read_tensors, save_network
from training.trainer.data_lineage import read_provenance
from training.trainer.device_data import train_val_split
from training.trainer.ema import recompute_batchnorm
from training.trainer.pretrained import PretrainedNetwork, fingerprint, weights_of_classes, with_its_folder
from training.trainer.provenance import option
from training.trainer.run_state import EpochResult, RunIdentity, TrainingError
from training.trainer.stages import Provenance
from training.trainer.trainer import plain_images, validate


def blend(earlier: Path, later: Path, output: Path, share: float, data: Path | None) -> EpochResult:
    """Write the network between two to a checkpoint; return its figures on the validation images of the later one.

    BatchNorm's statistics are recomputed from training images that are not augmented. An existing blend of the same two
    networks and share stays: a run that began with it must find the same bytes when it is resumed.

    Parameters
    ----------
    earlier
        Checkpoint or exported model that the later one's run began with.
    later
        Checkpoint of that run.
    output
        The checkpoint to write.
    share
        Share of the later network in every weight: 0 gives the earlier network, 1 the later one. Where their classes
        differ, the weights of the classes are the later network's.
    data
        Folder of the data sets.

    Raises
    ------
    TrainingError
        If the later network's run did not begin with the earlier one (no network between independent ones works), if
        its images have changed since, or if `output` is another network.
    CheckpointError, CardError
        If one of them cannot be read.
    OSError
        If there is no earlier one.
    """
    network, header = load_network(later)
    origin = RunIdentity.read(later, header)
    if origin.config.start != fingerprint(earlier):
        raise TrainingError(
            f"{later}: began with other weights than {earlier}; give what its --start-from named"
        )
    ends = {"earlier": fingerprint(earlier), "later": fingerprint(later), "share": share}
    if output.exists():
        existing = read_tensors(output)[1]
        if existing.get("between") != ends:
            raise TrainingError(f"{output}: is another network; give another --output")
        return EpochResult(**existing["result"])
    before = PretrainedNetwork.read(earlier)
    begun = before.single(earlier).state_dict()
    for name in weights_of_classes(network.config) if before.classes != tuple(header["classes"]) else ():
        begun.pop(name, None)
    training, validation = train_val_split(origin.images(later, data), origin.config, torch.device("cpu"))
    for name, weight in network.state_dict().items():
        if weight.is_floating_point() and name in begun and weight.shape == begun[name].shape:
            weight.copy_(torch.lerp(begun[name], weight, share))
    recompute_batchnorm(network, plain_images(training, origin.config.seed, network.config.images_at_once))
    error, margin = validate(network, validation)
    result = replace(EpochResult(**header["result"]), validation_error=error, validation_margin_loss=margin)
    words = ["python -m training blend", *map(with_its_folder, (earlier, later)), option("share", share)]
    made = read_provenance(later, header) + Provenance((" ".join(words),), ())
    made_by = {"provenance": {**header["provenance"], **made.fields()}, "between": ends}
    save_network(output, network, {**header, "result": asdict(result), **made_by})
    return result
