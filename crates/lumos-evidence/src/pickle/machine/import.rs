//! The opcodes that import: by name, by names on the stack, by extension code, by persistent id.
//!
//! Not here: judging the names.

use super::{GLOBALS_MAX, Halt, Input, Machine, Value, globals};

impl Machine<'_> {
    pub(super) fn import_op(&mut self, op: u8, input: &mut Input<'_>) -> Result<(), Halt> {
        let value = match op {
            b'c' | b'i' => {
                let module = input.line()?.map(String::from_utf8_lossy).map(String::from);
                let name = input.line()?.map(String::from_utf8_lossy).map(String::from);
                let global = match (module, name) {
                    (Some(module), Some(name)) => self.import(&module, &name)?,
                    _ => self.import_unnamed(),
                };
                if op == b'c' {
                    global
                } else {
                    let mark = self.mark()?;
                    self.stack.truncate(mark);
                    self.call(global)
                }
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (module, name) {
                    (Value::Text(module), Value::Text(name)) => {
                        let (module, name) = (
                            self.text_at(module).to_owned(),
                            self.text_at(name).to_owned(),
                        );
                        self.import(&module, &name)?
                    }
                    (Value::Lost, _) | (_, Value::Lost) => {
                        return Err(Halt::Bound(
                            "an import by a name the scanner had no room to keep",
                        ));
                    }
                    _ => self.import_unnamed(),
                }
            }
            0x82..=0x84 => {
                input.skip(match op {
                    0x82 => 1,
                    0x83 => 2,
                    _ => 4,
                })?;
                self.report.extension_codes += 1;
                self.called = true;
                Value::Other
            }
            b'P' => {
                input.line()?;
                Value::Other
            }
            _ => {
                self.pop()?;
                Value::Other
            }
        };
        self.push(value)
    }

    /// An import whose name cannot be read off the pickle. It runs the import machinery, so it counts as a call.
    fn import_unnamed(&mut self) -> Value {
        self.report.computed_names += 1;
        self.called = true;
        Value::Other
    }

    fn import(&mut self, module: &str, name: &str) -> Result<Value, Halt> {
        let module = globals::printable(module);
        let name = globals::printable(name);
        if let Some(known) = self
            .globals
            .iter()
            .rev()
            .take(64)
            .position(|g| g.0 == module && g.1 == name)
        {
            let index = self.globals.len() - 1 - known;
            return Ok(Value::Global(u32::try_from(index).unwrap_or(u32::MAX)));
        }
        if self.globals.len() >= GLOBALS_MAX || self.report.globals.len() >= GLOBALS_MAX {
            return Err(Halt::Bound("more imports than the scanner keeps"));
        }
        self.report.globals.insert((module.clone(), name.clone()));
        self.globals.push((module, name));
        Ok(u32::try_from(self.globals.len() - 1).map_or(Value::Other, Value::Global))
    }

    pub(in crate::pickle) fn global_at(&self, index: u32) -> Option<(&str, &str)> {
        let global = self.globals.get(usize::try_from(index).ok()?)?;
        Some((&global.0, &global.1))
    }
}
