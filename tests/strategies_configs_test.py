"""The files of configs/cluster, against the fields that their APIs have.

The fields are those of kubernetes.io/docs/reference (v1 Service, batch/v1 Job)
and of the TFJob of kubeflow.org/v1.
"""

import os
import pathlib
import re
import subprocess
import sys

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


SBATCH = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+",
    "ntasks-per-node": r"\d+",
    "gpus-per-task": r"\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+[KMGT]",
    "time": r"(\d+-)?\d\d:\d\d:\d\d",
    "signal": r"(B:)?[A-Z]+(@\d+)?",
    "requeue": None,
    "output": r"\S+",
    "open-mode": r"append|truncate",
}


def test_slurm_script():
    path = CONFIGS / "slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    for line in options:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
        assert match, line
        pattern = SBATCH[match[1]]
        if pattern is None:
            assert match[2] is None
        else:
            assert re.fullmatch(pattern, match[2]), line
    # sbatch stops reading options at the first command.
    first = next(i for i, x in enumerate(lines) if x and x[0] != "#")
    assert max(lines.index(line) for line in options) < first


def test_slurm_script_runs_the_command_in_every_task(tmp_path):
    # srun stands in for itself: one task of a step of two nodes.
    srun = tmp_path / "srun"
    srun.write_text(
        '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
    )
    srun.chmod(0o755)
    train = tmp_path / "tfxml" / "train.py"
    train.parent.mkdir()
    (train.parent / "__init__.py").touch()
    train.write_text(
        "import os, sys; print(os.environ['TF_CONFIG'], sys.argv[1:])"
    )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    environ = {
        **os.environ,
        "SLURM_PROCID": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "PATH": f"{tmp_path}:{bin_folder}:{os.environ['PATH']}",
    }
    found = subprocess.run(
        ["bash", CONFIGS / "slurm.sh", "--workdir=w"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text, _, rest = found.stdout.partition("} [")
    assert cluster.from_json(text + "}").task_name == "worker:1"
    assert "'--strategy=multi_worker', '--workdir=w'" in rest
