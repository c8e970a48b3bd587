"""The pages of the site: every README where it lies in the repository, and one page of reference for each module.

Relative links work on the site as they do in the repository, for the tree is the same.
"""

import ast
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).parents[2]
GUIDES = [
    ("molgraph", "README.md"),
    ("Molecules", "molgraph/molecules/README.md"),
    ("Sequences", "molgraph/sequences/README.md"),
    ("Particles", "molgraph/particles/README.md"),
    ("Training", "molgraph/training/README.md"),
    ("Layers", "molgraph/nn/README.md"),
    ("Notebooks", "notebooks/README.md"),
    ("Measurements", "tests/benchmarks/README.md"),
    ("Contributing", ".github/CONTRIBUTING.md"),
    ("Changes", ".github/CHANGELOG.md"),
]
SHOWN = (".png", ".gif", ".svg", ".ipynb")


def title(path: Path) -> str:
    """Return the dotted name of a module or package."""
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


navigation = []
for name, guide in GUIDES:
    with mkdocs_gen_files.open(guide, "w") as page:
        page.write((ROOT / guide).read_text())
    navigation.append(f"* [{name}]({guide})")

for folder in ("notebooks", ".github"):
    for picture in sorted((ROOT / folder).iterdir()):
        if picture.suffix in SHOWN:
            with mkdocs_gen_files.open(f"{folder}/{picture.name}", "wb") as file:
                file.write(picture.read_bytes())
with mkdocs_gen_files.open("LICENSE", "w") as page:
    page.write((ROOT / "LICENSE").read_text())

navigation.append("* Reference")
for path in sorted((ROOT / "molgraph").rglob("*.py"), key=lambda path: title(path).split(".")):
    if path.stem == "__main__" or path.stem.endswith("_kernels"):  # Warp's kernels are no Python to import
        continue
    sentence = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    name = title(path)
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as page:
        page.write(f"---\ndescription: >-\n  {sentence[0] if sentence else name}\n---\n\n::: {name}\n")
    indent = "    " * name.count(".")
    navigation.append(f"{indent or '    '}* [{name.rpartition('.')[2]}](reference/{name}.md)")

with mkdocs_gen_files.open("SUMMARY.md", "w") as page:
    page.write("\n".join(navigation) + "\n")
