-- make demo DATA=file: log lines of unknown make become rows with time, level, component and message.
CREATE TABLE raw_line (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text NOT NULL);
-- What parse_line makes of them.
CREATE TABLE parsed (id bigint PRIMARY KEY, ts timestamptz, level text, component text, message text);
CREATE TABLE app_log (id bigint PRIMARY KEY, ts timestamptz NOT NULL, level text, component text, message text NOT NULL);
CREATE FUNCTION as_time(given text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Seconds, or milliseconds, since 1970.
    IF given ~ '^\d{10}(\d{3})?(\.\d+)?$' THEN
        RETURN to_timestamp(given::numeric / CASE WHEN given ~ '^\d{13}' THEN 1000 ELSE 1 END);
    END IF;
    RETURN given::timestamptz;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;  -- looks like a time and is none
END $$;
-- syslog names no year: it is the last one that has that day, and in which it is not in the future. A line of December that is read
-- in January is of the last year.
CREATE FUNCTION as_syslog_time(given text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT t FROM generate_series(0, 8) AS back, as_time(given || ' ' || (date_part('year', now()) - back)) AS t
    WHERE t <= now() + interval '1 day' ORDER BY back LIMIT 1
$$;
-- The fields of a record of CSV.
CREATE FUNCTION csv_fields(line text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(CASE WHEN left(m[1], 1) = '"' THEN replace(substr(m[1], 2, length(m[1]) - 2), '""', '"') ELSE m[1] END)
    FROM regexp_matches(line, '(?:^|,)("[^"]*(?:""[^"]*)*"|[^,"]*)', 'g') AS m
$$;
-- A line of JSON, else NULL.
CREATE FUNCTION as_object(line text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    found jsonb;
BEGIN
    IF line !~ '^\s*\{.*\}\s*$' THEN
        RETURN NULL;
    END IF;
    found := line::jsonb;
    RETURN found;
EXCEPTION WHEN data_exception OR invalid_text_representation THEN
    RETURN NULL;  -- looks like an object and is none
END $$;
-- The first of some keys that an object has, in any spelling.
CREATE FUNCTION first_of(object jsonb, keys text[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT value FROM jsonb_each_text(object) WHERE lower(key) = ANY (keys) ORDER BY array_position(keys, lower(key)) LIMIT 1
$$;
CREATE FUNCTION parse_line(line text, OUT ts timestamptz, OUT level text, OUT component text, OUT message text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    part text[];
    object CONSTANT jsonb := as_object(line);
    levels CONSTANT text := 'TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRITICAL|CRIT|FATAL|ALERT|EMERG|PANIC|LOG';
BEGIN
    message := line;
    IF object IS NOT NULL THEN
        ts := as_time(first_of(object, '{time,ts,timestamp,@timestamp,datetime,date}'));
        level := upper(first_of(object, '{level,severity,severity_text,levelname,loglevel,log.level,lvl}'));
        component := first_of(object, '{logger,component,service,logger_name,module,source,app,name}');
        message := coalesce(first_of(object, '{message,msg,log,event,body,text}'), line);
        RETURN;
    END IF;
    -- PostgreSQL's csvlog: 2026-01-02 03:04:05.678 UTC,"user","database",… A record is one line here (tools/demo.sh).
    IF line ~ '^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z0-9:+-]+,' THEN
        part := csv_fields(line);
        IF cardinality(part) BETWEEN 23 AND 40 THEN
            -- A zone that this server does not know is taken for UTC.
            ts := coalesce(as_time(part[1]), as_time(left(part[1], 23) || ' UTC'));
            level := nullif(part[12], '');
            component := nullif(part[24], '');  -- backend_type, from version 13 on
            message := coalesce(nullif(btrim(part[14]), ''), line);
            RETURN;
        END IF;
    END IF;
    -- Syslog's newer form, RFC 5424: <34>1 2026-01-02T03:04:05.678Z host program 123 id [data] …
    part := regexp_match(line, '^<\d+>1 (\S+) \S+ (\S+) \S+ \S+ (?:-|(?:\[[^]]*\])+) ?(.*)$');
    IF part IS NOT NULL AND as_time(part[1]) IS NOT NULL THEN
        ts := as_time(part[1]);
        component := nullif(part[2], '-');
        message := coalesce(nullif(btrim(part[3]), ''), line);
        RETURN;
    END IF;
    -- ISO 8601, log4j and nginx: 2026-01-02T03:04:05.678Z, 2026-01-02 03:04:05,678, 2026/01/02 03:04:05, with a level and a class where there are.
    part := regexp_match(line, '^\[?(\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*(Z|UTC|[+-]\d\d:?\d\d)?\]?\s*(?:[-:|]\s+)?(.*)$');
    IF part IS NOT NULL THEN
        ts := as_time(part[1] || coalesce('.' || left(part[2], 6), '') || coalesce(part[3], ' UTC'));
        message := part[4];
        -- rsyslog writes the host behind the time: 2026-01-02T03:04:05.678901+00:00 host program[123]: …
        IF line ~ '^\d{4}-\d\d-\d\dT\S+[+-]\d\d:\d\d \S+ [\w./-]+(\[\d+\])?: ' AND message !~* ('^[\[<(]?(' || levels || ')\M') THEN
            message := regexp_replace(message, '^\S+ ', '');
        END IF;
    ELSE
        -- Apache errors: [Sun Dec 04 04:47:44 2005] [error] …
        part := regexp_match(line, '^\[\w{3} (\w{3} +\d+ \d\d:\d\d:\d\d)(\.\d+)? (\d{4})\] +(.*)$');
        IF part IS NOT NULL THEN
            ts := as_time(part[1] || coalesce(part[2], '') || ' ' || part[3] || ' UTC');
            message := part[4];
        ELSE
            -- Apache requests: host - user [10/Oct/2026:13:55:36 -0700] "GET …; the host goes, for it says who and not what.
            part := regexp_match(line, '^\S+ \S+ \S+ \[(\d\d)/(\w{3})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})\] +(.*)$');
            IF part IS NOT NULL THEN
                ts := as_time(format('%s %s %s %s %s', part[1], part[2], part[3], part[4], part[5]));
                message := part[6];
            ELSE
                -- syslog: Jan  2 03:04:05 host program[123]: …
                part := regexp_match(line, '^(?:<\d+>)?(\w{3} +\d{1,2} \d\d:\d\d:\d\d) (\S+) (.*)$');
                IF part IS NOT NULL THEN
                    ts := as_syslog_time(part[1]);
                    message := part[3];
                END IF;
            END IF;
        END IF;
    END IF;
    -- The level stands near the beginning, bare or in brackets, perhaps behind a thread.
    part := regexp_match(message, '^((?:\[[^]]*\]\s*|\(\w[^)]*\)\s*|\d+\s+|-\s+)*?)[\[<(]?(?:\w+:)?(' || levels || ')[\])>]?(?![\w.])[:\s|-]*(.*)$', 'i');
    IF part IS NOT NULL AND length(part[1]) < 80 THEN
        level := upper(part[2]);
        message := part[1] || part[3];
    END IF;
    -- What wrote it: a program (sshd[12]:) or a class (org.example.Thing:).
    part := regexp_match(message, '^((?:\[[^]]*\]\s*|-\s+)*)([A-Za-z_][\w.$/()-]{1,80})(?:\[\d+\])?:\s+(.*)$');
    IF part IS NOT NULL THEN
        component := part[2];
        message := part[1] || part[3];
    END IF;
    message := coalesce(nullif(btrim(message), ''), line);
END $$;
