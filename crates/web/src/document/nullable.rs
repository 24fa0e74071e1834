//! `null` for optional fields of request bodies, which counts as absent: see [`check`].

use utoipa::openapi::{
    Components, Content, Object, OneOfBuilder, RefOr, Schema,
    path::Operation,
    schema::{SchemaType, Type},
};

/// Makes the optional fields of a request body nullable in the document.
pub(super) fn add(components: &mut Components, operation: &Operation) {
    let Some(RefOr::T(body)) = &operation.request_body else { return };
    let Some(RefOr::T(Content { schema: Some(RefOr::Ref(at)), .. })) = body.content.values().next() else {
        return;
    };
    let Some(name) = at.ref_location.rsplit('/').next() else { return };
    let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(name) else { return };
    for (name, field) in &mut body.properties {
        if !body.required.contains(name) {
            make_nullable(field);
        }
    }
}

fn make_nullable(field: &mut RefOr<Schema>) {
    match field {
        RefOr::T(Schema::Object(object)) if object.enum_values.is_none() => {
            if let SchemaType::Type(only) = &object.schema_type {
                object.schema_type = SchemaType::Array(vec![only.clone(), Type::Null]);
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let SchemaType::Type(only) = &array.schema_type {
                array.schema_type = SchemaType::Array(vec![only.clone(), Type::Null]);
            }
        }
        RefOr::T(Schema::Object(_)) | RefOr::Ref(_) => {
            let null = Object::with_type(Type::Null);
            let either = OneOfBuilder::new().item(field.clone()).item(null).build();
            *field = RefOr::T(Schema::OneOf(either));
        }
        RefOr::T(_) => {}
    }
}
