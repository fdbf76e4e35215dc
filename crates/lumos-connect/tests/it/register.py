"""Registers two versions of a small real model with MLflow's own client; prints what it says about the second."""

import hashlib
import json
import pathlib
import tempfile

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

NAME = "fraud-detector"

features, labels = load_iris(return_X_y=True)
code = pathlib.Path(tempfile.mkdtemp()) / "features"
(code / "deep").mkdir(parents=True)
(code / "deep" / "scale me.py").write_text("FACTOR = 2\n")

for iterations in (50, 200):
    with mlflow.start_run():
        model = LogisticRegression(max_iter=iterations).fit(features, labels)
        accuracy = model.score(features, labels)
        mlflow.log_param("max_iter", iterations)
        mlflow.log_metric("accuracy", accuracy)
        mlflow.log_metric("loss", float("nan"))
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            code_paths=[str(code)],
            serialization_format="skops",
        )
    version = mlflow.register_model(info.model_uri, NAME)

client = mlflow.MlflowClient()
client.set_model_version_tag(NAME, version.version, "lumos.change", "parameters")
client.set_registered_model_tag(NAME, "owner", "risk-team")
folder = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/{version.version}"))
files = {
    path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != "registered_model_meta"
}
print(json.dumps({"version": version.version, "accuracy": accuracy, "files": files}))
