"""The files of configs/cluster, against the fields that their APIs have.

The fields are those of kubernetes.io/docs/reference (v1 Service, batch/v1 Job)
and of the TFJob of kubeflow.org/v1.
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest
import yaml

from strategies import cluster

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "cluster"

REQUIRED = {
    "Service": {"apiVersion", "kind", "metadata", "spec"},
    "Job": {"apiVersion", "kind", "metadata", "spec"},
    "TFJob": {"apiVersion", "kind", "metadata", "spec"},
    "service.spec": {"clusterIP", "selector", "ports"},
    "job.spec": {"template", "completions", "parallelism", "completionMode"},
    "tfjob.spec": {"tfReplicaSpecs"},
    "replica": {"replicas", "restartPolicy", "template"},
    "template": {"spec"},
    "pod": {"containers", "volumes"},
    "container": {"name", "image", "command", "ports", "volumeMounts"},
}
OPTIONAL = {
    "service.spec": {"publishNotReadyAddresses"},
    "job.spec": {"backoffLimit", "podFailurePolicy"},
    "tfjob.spec": {"runPolicy", "successPolicy", "enableDynamicWorker"},
    "template": {"metadata"},
    "pod": {"subdomain", "restartPolicy", "terminationGracePeriodSeconds"},
    "container": {"env", "resources"},
}


def _check_fields(kind, found):
    assert REQUIRED[kind] <= set(found), kind
    assert set(found) <= REQUIRED[kind] | OPTIONAL.get(kind, set()), kind


def _check_pod(template, mounts_of):
    _check_fields("template", template)
    pod = template["spec"]
    _check_fields("pod", pod)
    (container,) = pod["containers"]
    _check_fields("container", container)
    assert all(isinstance(word, str) for word in container["command"])
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    (mount,) = container["volumeMounts"]
    assert f"--workdir={mount['mountPath']}" in container["command"]
    assert container["name"] == mounts_of
    return pod, container


def test_indexed_job_manifest():
    text = (CONFIGS / "indexed_job.yaml").read_text()
    service, job = yaml.safe_load_all(text)
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    _check_fields("Service", service)
    _check_fields("Job", job)
    _check_fields("service.spec", service["spec"])
    _check_fields("job.spec", job["spec"])
    pod, container = _check_pod(job["spec"]["template"], "train")

    # Quoted: YAML's bare None would be the word, its null no value.
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    name = job["metadata"]["name"]
    selector = {"batch.kubernetes.io/job-name": name}
    assert service["spec"]["selector"] == selector
    assert pod["subdomain"] == service["metadata"]["name"]
    # A podFailurePolicy is refused with any other restartPolicy.
    assert pod["restartPolicy"] == "Never"
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] in ("Ignore", "FailJob", "FailIndex", "Count")
    assert rule["onPodConditions"] == [
        {"type": "DisruptionTarget", "status": "True"}
    ]
    (port,) = container["ports"]
    assert port["containerPort"] == service["spec"]["ports"][0]["port"]


def test_indexed_job_manifest_gives_the_cluster_it_promises():
    service, job = yaml.safe_load_all(
        (CONFIGS / "indexed_job.yaml").read_text()
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = container["command"]
    middle = command.index("--")
    (variable,) = container["env"]
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['batch.kubernetes.io/job-name']"
    show = [sys.executable, "-c", "import os; print(os.environ['TF_CONFIG'])"]
    last = job["spec"]["completions"] - 1
    name = job["metadata"]["name"]
    found = subprocess.run(
        [sys.executable, *command[1 : middle + 1], *show],
        cwd=ROOT,
        env={
            **os.environ,
            "JOB_COMPLETION_INDEX": str(last),
            variable["name"]: name,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    task = cluster.from_json(found.stdout)
    assert task.task_index == last
    domain = service["metadata"]["name"]
    assert task.tasks["worker"][last] == f"{name}-{last}.{domain}:2222"
    assert command[middle + 1 : middle + 4] == ["python", "-m", "tfxml.train"]


def test_tfjob_manifest():
    job = yaml.safe_load((CONFIGS / "tfjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    _check_fields("TFJob", job)
    _check_fields("tfjob.spec", job["spec"])
    policy = job["spec"]["runPolicy"]
    assert policy["cleanPodPolicy"] in ("Running", "All", "None")
    assert set(policy) <= {
        "cleanPodPolicy",
        "ttlSecondsAfterFinished",
        "activeDeadlineSeconds",
        "backoffLimit",
        "schedulingPolicy",
        "suspend",
    }
    replicas = job["spec"]["tfReplicaSpecs"]
    assert set(replicas) == {"Worker"}
    for replica in replicas.values():
        _check_fields("replica", replica)
        policies = ("Always", "OnFailure", "Never", "ExitCode")
        assert replica["restartPolicy"] in policies
        # The names that the operator looks for.
        _, container = _check_pod(replica["template"], "tensorflow")
        assert container["ports"][0]["name"] == "tfjob-port"
        annotations = replica["template"]["metadata"]["annotations"]
        assert annotations == {"sidecar.istio.io/inject": "false"}
    # What the operator makes of it (its genClusterSpec) is a good cluster.
    addresses = tuple(
        f"tfxml-worker-{index}.ns.svc:2222"
        for index in range(replicas["Worker"]["replicas"])
    )
    tasks = {"worker": addresses}
    assert cluster.Cluster(tasks, "worker", 0).is_chief
    assert not cluster.Cluster(tasks, "worker", 1).is_chief


def test_network_policy_lets_the_pods_of_the_job_in():
    policy = yaml.safe_load((CONFIGS / "network_policy.yaml").read_text())
    assert policy["apiVersion"] == "networking.k8s.io/v1"
    assert policy["kind"] == "NetworkPolicy"
    assert set(policy["spec"]) == {"podSelector", "policyTypes", "ingress"}
    service, _ = yaml.safe_load_all((CONFIGS / "indexed_job.yaml").read_text())
    pods = {"matchLabels": service["spec"]["selector"]}
    assert policy["spec"]["podSelector"] == pods
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    # No ports, no addresses: all ports, and only for these pods.
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": pods}]}]


# What stands in for SLURM: it knows the options that sbatch(1) and srun(1)
# have and that are used here, refuses others, and runs the command as each
# task of a step of two nodes.
SRUN = """
import argparse, os, subprocess, sys
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--distribution", choices=["block", "cyclic"])
parser.add_argument("--kill-on-bad-exit", type=int, choices=[0, 1])
parser.add_argument("--label", action="store_true")
parser.add_argument("--unbuffered", action="store_true")
parser.add_argument("command", nargs=argparse.REMAINDER)
given = parser.parse_args()
codes = []
for rank in range(2):
    task = subprocess.run(
        given.command,
        env={**os.environ, "SLURM_PROCID": str(rank)},
        stdout=subprocess.PIPE,
        text=True,
    )
    codes.append(task.returncode)
    for line in task.stdout.splitlines():
        print(f"{rank}: {line}" if given.label else line)
    if task.returncode and given.kill_on_bad_exit:
        break
sys.exit(max(codes))
"""


def _sbatch_options(path):
    """Returns the options of a batch script, as sbatch reads them."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("job-name", "output", "mem", "time", "signal"):
        parser.add_argument(f"--{name}")
    for name in ("nodes", "ntasks-per-node", "gpus-per-task", "cpus-per-task"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--requeue", action="store_true")
    parser.add_argument("--open-mode", choices=["append", "truncate"])
    words = []
    for line in path.read_text().splitlines()[1:]:
        if line and not line.startswith("#"):
            break  # sbatch reads no further than the first command
        if line.startswith("#SBATCH "):
            words += shlex.split(line)[1:]
    return parser.parse_args(words)


def test_slurm_script_asks_for_what_training_needs():
    path = CONFIGS / "slurm.sh"
    options = _sbatch_options(path)
    assert (options.nodes, options.ntasks_per_node) == (2, 1)
    assert options.gpus_per_task == 1 and options.requeue
    # Requeued, the log of before stays.
    assert options.open_mode == "append"
    name, seconds = options.signal.split("@")
    # To the tasks, not to the script alone, in time for a checkpoint.
    assert name == "TERM" and int(seconds) >= 60
    assert path.read_text().count("#SBATCH") == 11


@pytest.mark.parametrize("exit_code", [0, 3])
def test_slurm_script_runs_the_command_as_every_task(exit_code, tmp_path):
    train = tmp_path / "tfxml" / "train.py"
    train.parent.mkdir()
    (train.parent / "__init__.py").touch()
    train.write_text(
        "import json, os, sys\n"
        "print(json.dumps([os.environ['TF_CONFIG'], sys.argv[1:]]))\n"
        f"sys.exit({exit_code})"
    )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    srun = bin_folder / "srun"
    srun.write_text(f"#!{sys.executable}\n{SRUN}")
    srun.chmod(0o755)
    environ = {
        **os.environ,
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
    }
    found = subprocess.run(
        ["bash", CONFIGS / "slurm.sh", "--workdir=a b", "--seed=3"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == exit_code, found.stderr
    ranks = []
    for line in found.stdout.splitlines():
        rank, _, rest = line.partition(": ")
        config, words = json.loads(rest)
        task = cluster.from_json(config)
        assert task.task_name == f"worker:{rank}" and task.num_workers == 2
        assert words == ["--strategy=multi_worker", "--workdir=a b", "--seed=3"]
        ranks.append(int(rank))
    assert ranks == ([0, 1] if exit_code == 0 else [0])
