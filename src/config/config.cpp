#include "config/config.h"

namespace pgbalancer {

PoolMode Config::pool_mode_for(const std::string &database, const std::string &user) const {
    for (const auto &[name, mode] : user_pool_mode) {
        if (name == user) {
            return mode;
        }
    }
    for (const auto &[name, mode] : database_pool_mode) {
        if (name == database) {
            return mode;
        }
    }
    return pool_mode;
}

} // namespace pgbalancer
