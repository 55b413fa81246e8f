"""Workers share a model server: they join, start, restart and stop it, and its GPUs are leased meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.models.forwarding import local_server
from harness.servers import journal, lifecycle, start
from harness.servers.base import ServerFault, ServerMissing
from harness.servers.leases import Leases
from harness.servers.pool import ServerPool
from harness.servers.stop import stop_processes, sweep
from tests.support.cases import make_case
from tests.support.serving import MODEL, OLLAMA, Machine, wait_until


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path, monkeypatch)
    yield machine
    assert machine.processes == set()


def test_a_model_is_loaded_once_on_a_gpu_of_its_own_and_stopped_by_its_last_user(machine: Machine) -> None:
    first = machine.acquire(parallel=2)
    second = machine.acquire(parallel=2)
    assert second.url == first.url
    assert first.gpus == second.gpus == (machine.gpus.uuids[0],)
    assert (first.facts.context, first.facts.version) == (65_536, "0.33.0")
    assert first.memory_mb() == 18_000
    served = local_server(make_case(), first)
    assert (served.version, served.context, served.gpu_driver) == ("0.33.0", 65_536, "570.86.15")
    first.release()
    assert httpx2.get(second.url).text == "Ollama is running"
    second.release()
    assert machine.is_clean()
    assert machine.journal == [("loaded", "qwen-1"), ("stopped", "qwen-1")]
    assert len(machine.ollama.events("load")) == 1


def test_a_full_server_gets_a_second_one_on_another_gpu(machine: Machine) -> None:
    with machine.acquire() as first, machine.acquire() as second:
        assert second.url != first.url
        assert first.gpus + second.gpus == tuple(machine.gpus.uuids[:2])
    assert machine.is_clean()


def test_servers_with_different_settings_are_not_shared(machine: Machine) -> None:
    with machine.acquire(parallel=2) as first, machine.acquire(parallel=2, context=32_768) as second:
        assert second.url != first.url
        assert (first.facts.context, second.facts.context) == (65_536, 32_768)


def test_a_server_has_its_own_home_and_gpus_and_the_shared_models(machine: Machine) -> None:
    with machine.acquire(gpus=2, parallel=3) as lease:
        assert lease.folder == machine.run / "servers" / "qwen-1"
        variables = psutil.Process(machine.ollama.events("start")[0]["pid"]).environ()
        wanted = {
            "HOME": str(lease.folder / "home"),
            "CUDA_VISIBLE_DEVICES": ",".join(machine.gpus.uuids[:2]),
            "OLLAMA_MODELS": str(machine.ollama.models),
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NUM_PARALLEL": "3",
            "OLLAMA_CONTEXT_LENGTH": "65536",
            "OLLAMA_HOST": lease.url.removeprefix("http://"),
        }
        assert {name: variables.get(name) for name in wanted} == wanted
        assert "Listening on 127.0.0.1" in (lease.folder / start.LOG).read_text()


def test_a_model_for_the_cpu_sees_no_gpu_and_waits_for_a_slot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.servers.lifecycle.cpu_slots", lambda: 1)
    with machine.acquire(gpus=0) as lease:
        assert (lease.gpus, lease.memory_mb()) == ((), None)
        assert machine.ollama.events("start")[0]["gpus"] == []
        with pytest.raises(ServerFault, match="a CPU slot: all 1 are taken by ollama/qwen"):
            machine.acquire(name="other", gpus=0, wait_s=0)


def test_two_workers_that_race_start_one_server(machine: Machine) -> None:
    machine.ollama.turn(start_s=0.3, load_s=0.3)
    with machine.worker(parallel=2) as one, machine.worker(parallel=2) as other:
        assert one.held() == other.held()
        assert len(machine.ollama.events("start")) == 1
        one.release()
        assert len(machine.servers[0].holders) == 1
        other.release()
    assert machine.is_clean()


def test_a_worker_that_waits_for_a_failing_server_gets_the_same_error(machine: Machine) -> None:
    machine.ollama.turn(start_s=0.5, load_error="model requires more system memory (40 GiB) than is available")
    faults: list[str] = []

    def seek() -> None:
        with pytest.raises(ServerFault) as fault:
            machine.acquire(parallel=4)
        faults.append(str(fault.value))

    threads = [threading.Thread(target=seek) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(machine.ollama.events("start")) == 1
    assert len(set(faults)) == 1
    assert "requires more system memory" in faults[0]
    assert "Listening on" in faults[0]
    assert machine.is_clean()
    assert machine.journal == [("failed", "qwen-1")]


def test_a_worker_that_waits_for_a_killed_worker_takes_over(machine: Machine) -> None:
    machine.ollama.turn(start_s=3600)
    messages: list[str] = []
    with machine.worker(parallel=2) as doomed:
        doomed.wait_for("starting ollama")

        def kill() -> None:
            wait_until(
                lambda: bool(messages and machine.ollama.events("start")), "a server to start, and somebody to wait"
            )
            machine.ollama.turn(start_s=0)
            doomed.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with machine.acquire(parallel=2, progress=messages.append):
            assert messages[0] == "ollama/qwen: waiting for the worker that starts it"
            assert len(machine.ollama.events("start")) == 2
        killer.join()
    assert machine.is_clean()


class TestWhichGpus:
    def test_gpus_in_use_by_others_are_left_alone(self, machine: Machine) -> None:
        machine.gpus.use(os.getpid(), {machine.gpus.uuids[0]: 100, machine.gpus.uuids[2]: 20_000})
        with machine.acquire(gpus=2) as lease:
            assert lease.gpus == (machine.gpus.uuids[1], machine.gpus.uuids[3])

    def test_a_model_that_this_machine_can_never_serve_is_refused_at_once(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ServerMissing, match="needs 9 GPUs, and this machine has: Fake 4090 24 GB"):
            machine.acquire(gpus=9)
        with pytest.raises(ServerMissing, match="needs a GPU with 80 GB, and this machine has"):
            machine.acquire(gpu_memory_gb=80)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        with pytest.raises(ServerMissing, match="needs a GPU, and there is no usable GPU here"):
            machine.acquire()

    def test_a_worker_waits_for_a_free_gpu_and_says_so(self, tmp_path: Path, machine: Machine) -> None:
        machine.gpus.use(os.getpid(), dict.fromkeys(machine.gpus.uuids[1:], 24_000))
        held = machine.acquire()
        with pytest.raises(ServerFault, match=r"waited 0 s for a GPU \(0 serves ollama/qwen, 1 is used by process"):
            machine.acquire(name="other", wait_s=0)
        messages: list[str] = []

        def free() -> None:
            wait_until(lambda: len(messages) > 0, "it to wait")
            held.release()

        thread = threading.Thread(target=free)
        thread.start()
        with machine.acquire(name="other", progress=messages.append) as lease:
            assert lease.gpus == (machine.gpus.uuids[0],)
        thread.join()
        assert messages[0].startswith("ollama/other: waiting for a GPU (0 serves ollama/qwen, 1 is used by")

    def test_gpus_are_returned_only_when_their_memory_is_free(self, machine: Machine) -> None:
        lease = machine.acquire()
        machine.gpus.linger(True)
        thread = threading.Thread(target=lease.release)
        thread.start()
        wait_until(lambda: not machine.processes, "the server's end")
        assert [server.state for server in machine.servers] == ["stopping"]
        with machine.acquire(name="other") as other:
            assert other.gpus == (machine.gpus.uuids[1],)
            machine.gpus.linger(False)
            thread.join()
        assert machine.is_clean()


class TestStarting:
    def test_a_slow_start_is_waited_for(self, machine: Machine) -> None:
        machine.ollama.turn(start_s=0.8, load_s=0.4)
        messages: list[str] = []
        with machine.acquire(progress=messages.append) as lease:
            assert messages[0] == "starting ollama for qwen: 0 s"
            assert messages[-1] == "ollama/qwen: loading"
            assert lease.facts.context == 65_536

    def test_a_start_that_is_too_slow_is_a_fault_with_the_end_of_its_log(self, machine: Machine) -> None:
        machine.ollama.turn(start_s=3600)
        with pytest.raises(ServerFault, match=r"did not answer within 0\.5 s(.|\n)*Listening on 127"):
            machine.acquire(server={"start_s": 0.5})
        assert machine.is_clean()

    def test_a_port_that_another_program_takes_meanwhile_is_replaced(self, machine: Machine) -> None:
        machine.ollama.turn(ports_taken=2)
        with machine.acquire():
            assert len(machine.ollama.events("start")) == 3

    def test_a_server_is_not_trusted_if_another_program_answers_at_its_port(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with machine.acquire(name="stranger") as stranger:
            taken = int(stranger.url.rpartition(":")[2])
            ports = iter([taken])
            free_port = start._free_port
            monkeypatch.setattr(start, "_free_port", lambda: next(ports, 0) or free_port())
            with machine.acquire() as lease:
                assert lease.url != stranger.url

    def test_the_port_is_tried_three_times(self, machine: Machine) -> None:
        machine.ollama.turn(ports_taken=3)
        with pytest.raises(ServerFault, match="port taken by another program 3 times"):
            machine.acquire()

    def test_a_server_that_dies_at_once_is_a_fault_with_its_own_words(self, machine: Machine) -> None:
        machine.ollama.turn(dies=1)
        with pytest.raises(ServerFault, match=r"ended with status 1(.|\n)*something is wrong with this machine"):
            machine.acquire()
        assert machine.is_clean()

    def test_the_reason_for_a_missing_binary_says_how_to_get_it(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(ServerMissing, match="no `ollama` on PATH; install it"):
            machine.acquire()


class TestCrashes:
    def test_a_crashed_server_is_restarted_once_for_all_users_on_its_gpus(self, machine: Machine) -> None:
        one, other = machine.acquire(parallel=2), machine.acquire(parallel=2)
        _crash(machine)
        one.ensure_ready()
        other.ensure_ready()
        assert one.url == other.url
        assert httpx2.get(other.url).text == "Ollama is running"
        assert [event["gpus"] for event in machine.ollama.events("load")] == [[machine.gpus.uuids[0]]] * 2
        assert [event for event, _ in machine.journal] == ["loaded", "crashed", "loaded"]
        _crash(machine)
        with pytest.raises(ServerFault, match="crashed for the second time"):
            one.ensure_ready()
        with pytest.raises(ServerFault, match="crashed for the second time"):
            other.ensure_ready()
        with machine.acquire(parallel=2) as fresh:
            assert httpx2.get(fresh.url).text == "Ollama is running"
        one.release()
        other.release()
        assert machine.is_clean()

    def test_a_server_whose_gpu_is_gone_does_not_start_on_the_cpu(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with machine.acquire() as lease:
            _crash(machine)
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
            with pytest.raises(ServerFault, match=f"its GPU is no longer there: {machine.gpus.uuids[0]}"):
                lease.ensure_ready()

    def test_a_server_that_failed_for_good_is_replaced_but_not_forever(self, machine: Machine) -> None:
        conf = ModelConf("qwen", "ollama", served_as=MODEL, gpus=1)
        need, pool = ServerNeed("ollama/qwen", 1, 1), ServerPool(machine.run, lambda _: None)
        for _ in range(2):
            lease = pool.lease(need, conf, OLLAMA)
            assert pool.lease(need, conf, OLLAMA) is lease
            _crash(machine)
            lease.ensure_ready()
            _crash(machine)
            with pytest.raises(ServerFault, match="crashed for the second time"):
                lease.ensure_ready()
        with pytest.raises(ServerFault, match="crashed again and again"):
            pool.lease(need, conf, OLLAMA)
        assert machine.is_clean()

    def test_a_server_that_does_not_answer_counts_as_crashed(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifecycle, "SILENT_S", 0)
        with machine.acquire() as lease:
            os.kill(machine.ollama.events("start")[0]["pid"], signal.SIGSTOP)
            lease.ensure_ready()
            assert httpx2.get(lease.url).text == "Ollama is running"

    def test_a_later_worker_finds_it_restarted(self, machine: Machine) -> None:
        with machine.acquire(parallel=2):
            _crash(machine)
            with machine.acquire(parallel=2) as late:
                assert httpx2.get(late.url).text == "Ollama is running"
        assert machine.is_clean()


class TestStopping:
    def test_a_server_that_ignores_sigterm_is_killed_with_its_children(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stop_processes, "__kwdefaults__", {"grace_s": 0.2})
        machine.ollama.turn(deaf=True)
        machine.acquire().release()
        assert machine.is_clean()

    def test_releasing_twice_is_the_same_as_once(self, machine: Machine) -> None:
        one, other = machine.acquire(parallel=2), machine.acquire(parallel=2)
        one.release()
        one.release()
        assert len(machine.servers[0].holders) == 1
        other.release()

    def test_processes_that_no_lease_knows_are_killed_by_the_sweep(self, machine: Machine) -> None:
        lease = machine.acquire()
        (machine.lease_folder / "leases.json").unlink()
        assert machine.processes
        sweep(Leases())
        wait_until(lambda: not machine.processes, "the end of the strays")
        with pytest.raises(ServerFault, match="another process stopped the server"):
            lease.ensure_ready()
        lease.release()


class TestSomebodyElses:
    @pytest.fixture
    def foreign(self, machine: Machine) -> Iterator[ProviderConf]:
        """An Ollama server that a user has started, for any model."""
        with machine.acquire(name="user", parallel=9) as user:
            yield ProviderConf("ollama", "ollama", OLLAMA.wires, base_url=user.url)

    def test_it_is_used_unchanged_and_never_stopped(self, machine: Machine, foreign: ProviderConf) -> None:
        with machine.acquire(provider=foreign) as lease:
            assert (lease.url, lease.gpus, lease.folder) == (foreign.base_url, (), None)
            assert lease.facts.context == 65_536
            served = local_server(make_case(), lease)
            assert (served.version, served.gpu_driver) == ("0.33.0 (not started by Proctor)", None)
            lease.ensure_ready()
            assert (lease.log_size(), lease.warnings()) == (0, [])
            with pytest.raises(ServerFault, match="waited 0 s for a place at"):
                machine.acquire(provider=foreign, wait_s=0)
        assert httpx2.get(f"{foreign.base_url}/").text == "Ollama is running"
        assert [event for event, _ in machine.journal] == ["loaded"]

    def test_a_server_that_does_not_answer_is_a_fault(self, machine: Machine) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            with pytest.raises(ServerFault, match=f"no Ollama answers at {url}"):
                machine.acquire(provider=ProviderConf("ollama", "ollama", OLLAMA.wires, base_url=url))

    def test_an_older_server_is_refused_and_its_context_cannot_be_set(
        self, machine: Machine, foreign: ProviderConf
    ) -> None:
        with pytest.raises(ServerFault, match="context of 65536 tokens, not the configured 131072; a server that you"):
            machine.acquire(provider=foreign, context=131_072)
        machine.ollama.turn(version="0.12.9")
        with pytest.raises(ServerMissing, match=r"Ollama 0\.12\.9 at .* is too old: .*/api/ps needs 0\.13\.5 or later"):
            machine.acquire(provider=foreign)
        assert [server.key.partition("#")[0] for server in machine.servers] == ["ollama/user"]


def test_the_journal_has_the_duration_of_each_load(machine: Machine) -> None:
    machine.acquire().release()
    loaded, stopped = journal.read(machine.run)
    assert (loaded.key, loaded.gpus) == ("ollama/qwen", (machine.gpus.uuids[0],))
    assert loaded.facts
    assert loaded.facts.digest
    assert loaded.seconds
    assert stopped.leftover == ()
    assert MODEL in machine.ollama.events("load")[0]["model"]


def _crash(machine: Machine) -> None:
    os.kill(machine.ollama.events("start")[-1]["pid"], signal.SIGKILL)
