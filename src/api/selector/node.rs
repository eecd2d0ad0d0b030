//! `nodeFieldSelector`: the grammar of Argo's own node field selector.

use super::SelectorError;
use crate::api::workflow::{Node, NodePhase, input_parameter};

/// A compiled `nodeFieldSelector`; empty matches every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    DisplayName,
    TemplateName,
    Phase,
    Name,
    Id,
    TemplateRefName,
    TemplateRefTemplate,
    InputParameter(String),
}

impl NodeSelector {
    /// Reads `displayName=approve,templateName!=x`.
    ///
    /// # Errors
    /// Names the term or field that can't be read.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let terms = text.split(',').map(|t| Term::parse(t.trim())).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn matches(&self, node: &Node<'_>) -> bool {
        self.terms.iter().all(|t| t.matches(node))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, SelectorError> {
        let (field, value, equal) = if let Some((f, v)) = text.split_once("!=") {
            (f, v, false)
        } else if let Some((f, v)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (f, v, true)
        } else {
            return Err(SelectorError::Term(text.to_owned()));
        };
        let field = field.trim();
        let known = match field {
            "displayName" => Field::DisplayName,
            "templateName" => Field::TemplateName,
            "phase" => Field::Phase,
            "name" => Field::Name,
            "id" => Field::Id,
            "templateRef.name" => Field::TemplateRefName,
            "templateRef.template" => Field::TemplateRefTemplate,
            other => match other.strip_prefix("inputs.parameters.").and_then(|r| r.strip_suffix(".value")) {
                Some(name) if !name.is_empty() => Field::InputParameter(name.to_owned()),
                _ => return Err(SelectorError::Field(field.to_owned())),
            },
        };
        Ok(Self { field: known, equal, value: value.trim().to_owned() })
    }

    fn matches(&self, node: &Node<'_>) -> bool {
        let value = self.value.as_str();
        let same = match &self.field {
            Field::DisplayName => node.display_name == value,
            Field::TemplateName => node.template_name == value,
            Field::Phase => phase_name(node.phase) == value,
            Field::Name => node.name == value,
            Field::Id => node.id == value,
            Field::TemplateRefName => node.template_ref.as_ref().map_or("", |(n, _)| n) == value,
            Field::TemplateRefTemplate => node.template_ref.as_ref().map_or("", |(_, t)| t) == value,
            Field::InputParameter(name) => {
                node.inputs.and_then(|inputs| input_parameter(inputs, name)).unwrap_or_default() == value
            }
        };
        same == self.equal
    }
}

fn phase_name(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Unset => "",
        NodePhase::Pending => "Pending",
        NodePhase::Running => "Running",
        NodePhase::Succeeded => "Succeeded",
        NodePhase::Skipped => "Skipped",
        NodePhase::Failed => "Failed",
        NodePhase::Error => "Error",
        NodePhase::Omitted => "Omitted",
    }
}
