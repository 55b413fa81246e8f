"""Names of files that programs run or obey by themselves, such as `conftest.py`, `Makefile` or a git directory.

Nobody has to open such a file: to enter its folder, or to type a bare command there, is enough. What an agent wrote
must not lie anywhere under such a name, except in an archive. Case and the form of letters do not matter, as on some
file systems.
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from unicodedata import normalize

_PYTEST = "pytest"
_PYTHON = "Python"
_BUILD = "make or another build tool"
_TASKS = "invoke, nox or another runner of tasks"
_PACKAGES = "npm or another package manager"
_OPERATIONS = "docker, ansible or a tool like them"
_SHELL = "a tool that sets up a shell"
_DESKTOP = "an editor or a file manager"

_STEMS = {
    _PYTEST: {"conftest"},
    _PYTHON: {"sitecustomize", "usercustomize", "readline", "rlcompleter", "_pyrepl"},
    _TASKS: {
        *("taskfile", "noxfile", "fabfile", "locustfile", "gulpfile", "gruntfile", "jakefile", "cakefile"),
        *("magefile", "maskfile", "dangerfile", "conanfile", "knexfile"),
    },
    _BUILD: {"makefile", "gnumakefile", "bsdmakefile", "rakefile", "snakefile", "justfile"},
    _OPERATIONS: {"dockerfile", "containerfile", "jenkinsfile", "vagrantfile", "tiltfile", "helmfile"},
}
"""What stands before the first dot. A module may also be a folder, or compiled."""

_NAMES = {
    _PYTEST: {"pytest.ini", "pytest.toml", "tox.ini", "tox.toml", "setup.cfg", "pyproject.toml"},
    _PYTHON: {"setup.py", "hatch_build.py", "hatch.toml", "pixi.toml", "pyvenv.cfg", "uv.toml", "poetry.toml"},
    "a web server": {"gunicorn.conf.py", "wsgi.py", "config.ru", "celeryconfig.py"},
    _TASKS: {"tasks", "tasks.py", "dodo.py", "pavement.py", "lefthook.yml", "lefthook.yaml", "lefthook.toml"},
    "a linter or a documentation tool": {"mypy.ini", "pylintrc", "pylintrc.toml", "mkdocs.yml", "mkdocs.yaml"},
    "git": {"head"},
    _BUILD: {
        *("build", "build.bazel", "workspace", "workspace.bazel", "module.bazel", "buck", "kbuild", "build.rs"),
        *("cmakelists.txt", "cmakepresets.json", "meson.build", "build.ninja", "sconstruct", "sconscript", "wscript"),
        *(
            "build.xml",
            "pom.xml",
            "phpunit.xml",
            "build.gradle",
            "settings.gradle",
            "build.sbt",
            "cargo.toml",
            "build.zig",
            "mix.exs",
        ),
        *(
            "package.swift",
            "rebar.config",
            "dune",
            "dune-project",
            "stack.yaml",
            "project.clj",
            "deps.edn",
            "xmake.lua",
            *("directory.build.props", "directory.build.targets", "directory.build.rsp", "nuget.config"),
            *("go.work", "rust-toolchain", "rust-toolchain.toml", "gems.rb", "build.sc", "build.mill"),
            *("premake5.lua", "init.gradle", "config.nims", "dub.json", "dub.sdl", "build.boot", "pants.toml"),
        ),
    },
    _PACKAGES: {
        *("package.json", "package.json5", "package.yaml", "deno.json", "deno.jsonc", "bunfig.toml", "composer.json"),
        *("pnpm-workspace.yaml", "lerna.json", "nx.json", "turbo.json", "angular.json", "tsconfig.json"),
        *("jsconfig.json", "cdk.json", "vercel.json", "wrangler.toml", "wrangler.json", "nodemon.json"),
    },
    _SHELL: {"mise.toml", "mise.local.toml", "devbox.json", "devenv.yaml", "devcontainer.json", "guix.scm"},
    _OPERATIONS: {
        "compose.yml",
        "compose.yaml",
        "ansible.cfg",
        "pulumi.yaml",
        "serverless.yml",
        "serverless.yaml",
        "skaffold.yaml",
    },
    "IPython or Jupyter": {"profile_default"},
    "a coding agent": {"opencode.json", "opencode.jsonc"},
    _DESKTOP: {"autorun.inf", "desktop.ini", "session.vim", "_vimrc", "_exrc", "_gvimrc"},
}
"""Whole names."""

_PATTERNS = {
    _PYTEST: {"test_*.py", "*_test.py"},
    _PYTHON: {"*.pth", "*._pth", "*.dist-info", "*.egg-info", "egg-info", "*.egg", "*.egg-link"},
    "IPython or Jupyter": {"ipython*_config.*", "jupyter*_config.*"},
    _BUILD: {
        "*.sln",
        "*.csproj",
        "*.fsproj",
        "*.vbproj",
        "*.proj",
        "*.cabal",
        "*.vcxproj",
        "*.esproj",
        "*.slnx",
        "*.gradle.kts",
    },
    _PACKAGES: {"*.config.js", "*.config.[cm]js", "*.config.ts", "*.config.[cm]ts", "*.conf.js", "*.conf.ts"},
    _SHELL: {"*.nix"},
    _OPERATIONS: {
        "docker-compose*.yml",
        "docker-compose*.yaml",
        "docker-bake*.hcl",
        "docker-bake*.json",
        "*.tf",
        "*.tf.json",
    },
    _DESKTOP: {"*.code-workspace", "*.sublime-project", "*.desktop", "*.lnk", "*.url"},
}
"""Patterns of whole names."""

_FOLDERS = {"tasks", "profile_default"}
"""Whole names that a folder may have. The others are names of files."""


def trap(name: str, *, is_folder: bool = False) -> str | None:
    """Return what runs or obeys a file or folder of this name by itself, in words, or `None` if nothing does."""
    name = normalize("NFKC", name).casefold()
    if name.startswith("."):
        return "git, a shell, an editor or another tool that reads hidden files"
    name = name.rstrip(" .")  # Windows does so, too
    stem = name.partition(".")[0]
    found = [tool for tool, stems in _STEMS.items() if stem in stems]
    if not is_folder or name in _FOLDERS:
        found += [tool for tool, names in _NAMES.items() if name in names]
    found += [tool for tool, patterns in _PATTERNS.items() if any(fnmatchcase(name, one) for one in patterns)]
    if not is_folder and name.endswith("file") and name == stem != "file":  # Gemfile, Procfile, Earthfile, …
        found.append(_BUILD)
    return found[0] if found else None


def is_git_directory(names: Collection[str]) -> bool:
    """Return whether a folder with entries of these names may be a git directory, whatever it is called itself."""
    known = {name.casefold() for name in names}
    return "head" in known and not known.isdisjoint({"objects", "refs", "commondir"})
