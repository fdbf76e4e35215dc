//! The one table that maps a path and a format to the kind of part it is (DECISIONS 8).
//!
//! The table errs towards the graver kind: a file that is not recognised is backbone, and a file is documentation only
//! when it is text with a name that says so. Not here: comparing two releases; `lumos_domain::manifest` does that.

pub mod identifiers;

use lumos_domain::words::PartKind;

use crate::format::{Format, extension};

/// What of the model the file at `path` is.
#[must_use]
pub fn of(path: &str, format: Format) -> PartKind {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let extension = extension(&lower);
    let extension = extension.as_str();
    let below = |folder: &str| {
        lower
            .split('/')
            .rev()
            .skip(1)
            .any(|component| component == folder)
    };
    if name == "adapter_config.json" || (stem == "adapter_model" && is_weight_format(format)) {
        return PartKind::Adapter;
    }
    let table = match extension {
        "csv" | "tsv" | "jsonl" => format.is_text(),
        "parquet" => format == Format::Parquet,
        "arrow" => format == Format::Unknown,
        _ => below("data") && format == Format::Npy,
    };
    if table {
        return PartKind::Data;
    }
    if !format.is_text() {
        return PartKind::Backbone;
    }
    of_text(name, extension)
}

/// What of the model a text file of this name (in lower case) is.
fn of_text(name: &str, extension: &str) -> PartKind {
    let stem = name.split('.').next().unwrap_or_default();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| stem.starts_with(prefix));
    let is_document = matches!(extension, "" | "md" | "txt" | "rst");
    match extension {
        "py" | "pyi" | "ipynb" | "sh" | "js" | "lua" | "rego" | "cel" => {
            return PartKind::DecisionLogic;
        }
        "jinja" | "j2" => return PartKind::Prompt,
        _ => {}
    }
    if starts(&[
        "prompt",
        "system_prompt",
        "chat_template",
        "generation_prompt",
    ]) {
        return PartKind::Prompt;
    }
    if matches!(name, "tools.json" | "tools.yaml" | "tools.yml" | "mcp.json")
        || (starts(&["tools"]) && extension == "json")
    {
        return PartKind::Tools;
    }
    let documents = [
        "readme",
        "license",
        "licence",
        "copying",
        "notice",
        "changelog",
        "model_card",
    ];
    // By its whole stem: `readme_system.txt` may well be what a model is told.
    if (is_document && documents.contains(&stem)) || matches!(name, ".gitattributes" | ".gitignore")
    {
        return PartKind::Documentation;
    }
    if extension == "md" {
        // Other Markdown is as likely an instruction to a model as a note to people.
        return PartKind::Prompt;
    }
    if matches!(name, "input_example.json" | "serving_input_example.json") {
        return PartKind::Data;
    }
    if matches!(
        name,
        "mlmodel" | "requirements.txt" | "conda.yaml" | "python_env.yaml" | "modules.json"
    ) {
        // They name the module that loads the model and the libraries that compute.
        return PartKind::DecisionLogic;
    }
    if starts(&[
        "config",
        "generation_config",
        "preprocessor_config",
        "params",
        "hyperparameters",
        "threshold",
    ]) && matches!(extension, "json" | "yaml" | "yml")
    {
        return PartKind::Parameters;
    }
    PartKind::Backbone
}

/// Whether the file holds weights: its digest alone then finds the release (DECISIONS 9).
#[must_use]
pub fn is_weights(path: &str, format: Format) -> bool {
    let extension = extension(path);
    is_weight_format(format)
        || (!format.is_text()
            && matches!(
                extension.as_str(),
                "bin" | "pb" | "tflite" | "msgpack" | "ot" | "mlmodel" | "cbm" | "ubj" | "joblib"
            ))
}

fn is_weight_format(format: Format) -> bool {
    matches!(
        format,
        Format::Safetensors
            | Format::Pickle
            | Format::TorchZip
            | Format::Npz
            | Format::Npy
            | Format::Skops
            | Format::Keras
            | Format::Gguf
            | Format::Onnx
            | Format::Hdf5
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, format: Format, kind: PartKind, weights: bool) {
        assert_eq!(
            (of(path, format), is_weights(path, format)),
            (kind, weights),
            "{path} as {format}"
        );
    }

    #[test]
    fn the_table() {
        use PartKind::{
            Adapter, Backbone, Data, DecisionLogic, Documentation, Parameters, Prompt, Tools,
        };
        check("README.md", Format::Text, Documentation, false);
        check("docs/notes.md", Format::Text, Prompt, false);
        check("readme_system.txt", Format::Text, Backbone, false);
        check("modules.json", Format::Json, DecisionLogic, false);
        check("data/train.csv", Format::Pickle, Backbone, true);
        check("LICENSE", Format::Text, Documentation, false);
        check("LICENSE.py", Format::Python, DecisionLogic, false);
        check("README.md", Format::Pickle, Backbone, true);
        check("config.json", Format::Json, Parameters, false);
        check("generation_config.json", Format::Json, Parameters, false);
        check("config.json", Format::Pickle, Backbone, true);
        check("tokenizer.json", Format::Json, Backbone, false);
        check("vocab.txt", Format::Text, Backbone, false);
        check(
            "adapter_model.safetensors",
            Format::Safetensors,
            Adapter,
            true,
        );
        check("adapter_config.json", Format::Json, Adapter, false);
        check("prompt.txt", Format::Text, Prompt, false);
        check("prompts.py", Format::Python, DecisionLogic, false);
        check("chat_template.jinja", Format::Text, Prompt, false);
        check("tools.json", Format::Json, Tools, false);
        check("code/score.py", Format::Python, DecisionLogic, false);
        check("data/train.csv", Format::Csv, Data, false);
        check("data/ref.parquet", Format::Parquet, Data, false);
        check("MLmodel", Format::Yaml, DecisionLogic, false);
        check("model.pkl", Format::Pickle, Backbone, true);
        check("model.safetensors", Format::Safetensors, Backbone, true);
        check("model.skops", Format::Skops, Backbone, true);
        check("model.bin", Format::Unknown, Backbone, true);
        check("archive.zip", Format::Zip, Backbone, false);
        check("whatever", Format::Unknown, Backbone, false);
    }
}
