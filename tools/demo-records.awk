# A record of PostgreSQL's csvlog ends where as many quotes have been opened as closed: its lines become one. Where a file begins or
# breaks off within one, the next begins with its time. Other files stay as they are.
function begins(line) {
    return line ~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9][.][0-9][0-9][0-9] [^ ,]+,("|,)/
}
NR <= 100 && begins($0) { is_csvlog = 1 }
!is_csvlog { print; next }
quotes % 2 && begins($0) { print record; record = ""; quotes = 0 }
{ record = record (record == "" ? "" : " ") $0; quotes += gsub(/"/, "\"") }
quotes % 2 == 0 { print record; record = "" }
END { if (record != "") print record }
