"""A checkpoint is whole or it is not there; a damaged one is passed over."""

import hashlib
import resource
from pathlib import Path

import pytest

from springtide.contracts.errors import StateError
from trainer.checkpoint import DIGEST, MANIFEST, CheckpointFolder
from trainer.messages import SavedRank


def save(checkpoints: CheckpointFolder, text: str, pinned: tuple[int, ...] = ()) -> Path:
    beside = checkpoints.begin()
    (beside / "rank-0.safetensors").write_text(text)
    rank = SavedRank(
        file="rank-0.safetensors", size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest(), state={"0": text}
    )
    return checkpoints.commit(beside, [rank], {"text": text}, {}, pinned)


def newest_text(checkpoints: CheckpointFolder) -> str:
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[1].ranks[0].state == {"0": newest[1].driver["text"]}
    return str(newest[1].driver["text"])


def test_the_newest_is_taken_and_the_oldest_go(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path, 2)
    assert checkpoints.newest() is None
    folders = [save(checkpoints, text) for text in ("one", "two", "three")]
    assert newest_text(checkpoints) == "three"
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_pinned_one_stays_and_is_found_while_it_is_whole(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path, 1)
    for number in range(1, 4):
        assert checkpoints.next_number == number
        save(checkpoints, f"text {number}", pinned=(1,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "00000003"]
    assert checkpoints.whole(1) == tmp_path / "00000001"
    assert checkpoints.whole(2) is None
    (tmp_path / "00000001" / "rank-0.safetensors").write_text("text 2")
    assert checkpoints.whole(1) is None


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest", "flip"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = CheckpointFolder(tmp_path, 3)
    save(checkpoints, "good")
    folder = save(checkpoints, "later")
    file, manifest = folder / "rank-0.safetensors", folder / MANIFEST
    if damage == "truncate":
        file.write_text("lat")
    elif damage == "remove":
        file.unlink()
    elif damage == "manifest":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    else:
        file.write_text("lateR")
    assert newest_text(checkpoints) == "good"
    assert "checkpoint 00000002" in caplog.text
    assert "taking the one before" in caplog.text


@pytest.mark.parametrize("name", [MANIFEST, DIGEST, "rank-0.safetensors"])
def test_any_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    checkpoints = CheckpointFolder(tmp_path, 3)
    save(checkpoints, "good")
    path = save(checkpoints, "later") / name
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert newest_text(checkpoints) == "good"


def test_a_checkpoint_of_a_release_without_digests_is_taken_up(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path, 3)
    (save(checkpoints, "old") / DIGEST).unlink()
    assert newest_text(checkpoints) == "old"


def test_a_full_disk_is_told_of_and_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path, 3)
    save(checkpoints, "good")
    beside = checkpoints.begin()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(StateError, match=r"room for .* bytes of checkpoint\.json"):
            checkpoints.commit(beside, [], {"text": "x" * 100}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    checkpoints.give_up(beside)
    assert newest_text(checkpoints) == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]


def test_a_life_that_ended_while_writing_leaves_nothing_to_resume(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path, 3)
    save(checkpoints, "good")
    (checkpoints.begin() / "rank-0.safetensors").write_text("half")
    again = CheckpointFolder(tmp_path, 3)
    assert newest_text(again) == "good"
    save(again, "next")
    assert newest_text(again) == "next"
    assert [path.name for path in tmp_path.glob(".writing-*")] == []
