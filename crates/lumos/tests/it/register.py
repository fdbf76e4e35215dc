"""Registers one version of a small real model with MLflow's own client; prints the version."""

import os
import pathlib

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True)
iterations = int(os.environ["ITERATIONS"])
with mlflow.start_run():
    model = LogisticRegression(max_iter=iterations).fit(features, labels)
    mlflow.log_param("max_iter", iterations)
    mlflow.log_metric("accuracy", model.score(features, labels))
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        code_paths=[str(pathlib.Path("card").resolve())],
        serialization_format="skops",
    )
version = mlflow.register_model(info.model_uri, "fraud-detector")
print(f"registered {version.version}")
