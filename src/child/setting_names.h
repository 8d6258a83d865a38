// setting_names.h: small readings of SQL text beside the classifier: which transaction command, which custom settings.
// Pure.
#pragma once

#include "sql/classification.h"

#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

constexpr size_t kMaxCustomSettings = 200;

bool is_transaction_command(StatementKind kind);

// Cheap and cautious, for every statement is asked: false means that the text is surely no BEGIN or START TRANSACTION,
// none that begins with SH, or no DEALLOCATE.
inline std::string_view from_first_letter(std::string_view text) {
    while (!text.empty() && static_cast<unsigned char>(text[0]) <= ' ') {
        text.remove_prefix(1);
    }
    return text;
}
inline bool may_be_begin(std::string_view text) {
    text = from_first_letter(text);
    const char first = text.empty() ? '\0' : static_cast<char>(text[0] | 0x20);
    return first == 'b' || first == '-' || first == '/' || first == ';' ||
           (first == 's' && text.size() > 1 && (text[1] | 0x20) == 't');
}
inline bool may_be_deallocate(std::string_view text) {
    text = from_first_letter(text);
    return text.size() > 3 && (text[0] | 0x20) == 'd' && (text[1] | 0x20) == 'e' && (text[2] | 0x20) == 'a';
}
inline bool may_be_show(std::string_view text) {
    text = from_first_letter(text);
    return text.size() > 1 && (text[0] | 0x20) == 's' && (text[1] | 0x20) == 'h';
}
// Of a text classified as `begin`: whether its tag is START TRANSACTION, and whether it has any option (such as NOT
// DEFERRABLE, which the Classification does not show).
bool starts_transaction(std::string_view text);
bool has_options(std::string_view text);

// Names of custom settings (with a dot) that a statement sets, as far as its text says: `SET app.user = …` and
// set_config('app.user', …). pg_settings does not list them, so the probe must ask by name.
std::vector<std::string> custom_settings_in(const Classification &what, std::string_view text);
// A SET of one setting whose text can be sent again whenever and on whichever connection: it does not build on the
// former value (DateStyle) and reads the same under any encoding and quoting rules.
bool means_the_same_anywhere(const Classification &what, std::string_view text);
// A call of set_config whose setting the text does not name.
bool sets_unknown_custom_setting(std::string_view text);

} // namespace pgbalancer
