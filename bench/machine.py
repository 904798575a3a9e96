"""What was measured on, and with what."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.paths import ROOT
from bench.server import Server

PACKAGES = ("scikit-learn", "hdbscan", "numpy", "scipy", "psycopg", "pandas", "pyarrow")
# Settings that are not a matter of speed.
NO_MATTER = {
    "config_file", "data_directory", "hba_file", "ident_file", "listen_addresses", "port", "unix_socket_directories",
    "unix_socket_permissions", "application_name", "client_encoding", "log_timezone", "TimeZone", "DateStyle",
    "default_text_search_config", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "external_pid_file",
    "cluster_name", "ssl", "ssl_cert_file", "ssl_key_file", "stats_temp_directory", "dynamic_shared_memory_type",
}  # fmt: skip


def describe(server: Server) -> dict[str, str]:
    """The machine, the versions and the settings, by name."""
    processor = re.search(
        r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} CPUs",
        "memory": f"{memory / 2**30:.1f} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release().split('-')[0]}",
        "PostgreSQL": server.value("SHOW server_version"),
        "settings": _settings(server),
        "logintel": _logintel(server),
        "Python": ", ".join(
            [
                platform.python_version(),
                *(f"{name} {version(name)}" for name in PACKAGES),
            ]
        ),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _settings(server: Server) -> str:
    """Those that matter most, whatever they are, and all that are not PostgreSQL's own defaults."""
    rows = server.rows(
        """SELECT name, current_setting(name) FROM pg_settings
           WHERE source NOT IN ('default', 'override', 'client', 'session')
              OR name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'work_mem', 'jit', 'max_parallel_workers_per_gather', 'max_parallel_workers',
                          'logintel.max_parallel_threads', 'logintel.maintenance_mem')
           ORDER BY name"""
    )
    empty = "''"
    return ", ".join(
        f"{name} = {value or empty}" for name, value in rows if name not in NO_MATTER
    )


def _logintel(server: Server) -> str:
    text = server.value(
        "SELECT extversion FROM pg_extension WHERE extname = 'logintel'"
    )
    commit = _git("rev-parse", "--short=10", "HEAD")
    if commit:
        changed = _git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "src",
            "crates",
            "sql",
            "Cargo.lock",
        )
        text += f", commit {commit}{' with changes' if changed else ''}"
    return text


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
