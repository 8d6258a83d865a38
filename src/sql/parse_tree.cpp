#include "sql/parse_tree.h"

#include <cstdint>
#include <pg_query.h>

namespace pgbalancer {

namespace {

struct ParserOutput {
    explicit ParserOutput(const char *sql) : result(pg_query_parse_protobuf(sql)) {}
    ~ParserOutput() { pg_query_free_protobuf_parse_result(result); }
    ParserOutput(const ParserOutput &) = delete;
    ParserOutput &operator=(const ParserOutput &) = delete;
    PgQueryProtobufParseResult result;
};

} // namespace

std::optional<ParseTree> ParseTree::parse(const std::string &sql) {
    const ParserOutput output(sql.c_str());
    if (output.result.error != nullptr) {
        return std::nullopt;
    }
    const PgQueryProtobuf &packed = output.result.parse_tree;
    PgQuery__ParseResult *root =
        pg_query__parse_result__unpack(nullptr, packed.len, reinterpret_cast<const uint8_t *>(packed.data));
    if (root == nullptr) {
        return std::nullopt;
    }
    return ParseTree(root);
}

ParseTree::~ParseTree() {
    if (root_ != nullptr) {
        pg_query__parse_result__free_unpacked(root_, nullptr);
    }
}

} // namespace pgbalancer
