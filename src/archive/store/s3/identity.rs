//! Who we are for a store: told by what the credentials were made with, not by what stands in the environment besides.

use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;

/// Where EKS Pod Identity answers.
const POD_IDENTITY: [&str; 2] = ["http://169.254.170.23/", "http://[fd00:ec2::23]/"];

/// The name of credentials that were found so; `None` where there is no better one than that of the key.
pub(super) fn of(features: &[Feature], environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let has = |wanted: &[Feature]| features.iter().any(|feature| wanted.contains(feature));
    let by_profile = has(&[
        Feature::CredentialsProfile,
        Feature::CredentialsProfileSourceProfile,
        Feature::CredentialsProfileNamedProvider,
        Feature::CredentialsProfileProcess,
        Feature::CredentialsProfileSso,
    ]);
    if by_profile {
        let name = environment("AWS_PROFILE").filter(|name| !name.is_empty());
        return Some(format!("profile {}", name.as_deref().unwrap_or("default")));
    }
    if has(&[Feature::CredentialsEnvVars, Feature::CredentialsCode]) {
        return None;
    }
    if has(&[Feature::CredentialsEnvVarsStsWebIdToken, Feature::CredentialsProfileStsWebIdToken]) {
        return environment("AWS_ROLE_ARN");
    }
    if has(&[Feature::CredentialsHttp]) {
        let asked = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap_or_default();
        let pod = POD_IDENTITY.iter().any(|begin| asked.starts_with(begin));
        return Some(if pod { "EKS Pod Identity" } else { "role of the container" }.to_owned());
    }
    has(&[Feature::CredentialsImds]).then(|| "role of the instance".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that EKS puts into a pod at once: what the credentials were made with decides.
    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "AWS_ROLE_ARN" => "arn:aws:iam::123456789012:role/writer",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI" => "http://169.254.170.23/v1/credentials",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn what_made_the_credentials_names_them() {
        for (features, wanted) in [
            (vec![], None),
            (vec![Feature::CredentialsEnvVars], None),
            (vec![Feature::CredentialsProfile], Some("profile default")),
            (vec![Feature::CredentialsProfileStsWebIdToken], Some("arn:aws:iam::123456789012:role/writer")),
            (vec![Feature::CredentialsProfileStsWebIdToken, Feature::CredentialsProfile], Some("profile default")),
            (vec![Feature::CredentialsHttp], Some("EKS Pod Identity")),
            (vec![Feature::CredentialsImds], Some("role of the instance")),
        ] {
            assert_eq!(of(&features, environment).as_deref(), wanted, "{features:?}");
        }
        assert_eq!(of(&[Feature::CredentialsHttp], |_| None).as_deref(), Some("role of the container"));
    }
}
