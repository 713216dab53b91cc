//! Writes the JavaScript bindings of a Wasm module: those options of the published `wasm-bindgen`
//! command that `scripts/build.sh` uses, by the same names.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str =
    "usage: wasm-bindgen --target web|module --out-dir DIR --out-name NAME [--no-typescript]
       [--omit-default-module-path] [--experimental-reset-state-function]
       [--remove-producers-section] [--keep-debug] MODULE.wasm
       wasm-bindgen --version | --help";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let mut out_dir = None;
    // What the published command does unless it is told otherwise; the library does not.
    bindgen.typescript(true).omit_default_module_path(false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            "--version" => {
                println!("wasm-bindgen {}", env!("CARGO_PKG_VERSION"));
                return Ok(());
            }
            "--target" => match value()?.as_str() {
                "web" => bindgen.web(true),
                "module" => bindgen.module(true),
                other => return Err(format!("--target {other} is not one of web, module")),
            }
            .map(drop)
            .map_err(|error| error.to_string())?,
            "--out-dir" => out_dir = Some(value()?),
            "--out-name" => drop(bindgen.out_name(&value()?)),
            "--no-typescript" => drop(bindgen.typescript(false)),
            "--omit-default-module-path" => drop(bindgen.omit_default_module_path(true)),
            "--experimental-reset-state-function" => drop(bindgen.reset_state_function(true)),
            "--remove-producers-section" => drop(bindgen.remove_producers_section(true)),
            "--remove-name-section" => drop(bindgen.remove_name_section(true)),
            "--keep-debug" => drop(bindgen.keep_debug(true)),
            option if option.starts_with('-') => return Err(format!("{option} is not known")),
            module => drop(bindgen.input_path(module)),
        }
    }
    let out_dir = out_dir.ok_or("--out-dir is missing")?;
    bindgen.generate(out_dir).map_err(|error| format!("{error:#}"))
}
