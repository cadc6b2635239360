CREATE SCHEMA IF NOT EXISTS dairflow;

GRANT USAGE ON SCHEMA dairflow TO airflow;

CREATE OR REPLACE FUNCTION dairflow.dump_database(label text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    name text;
BEGIN
    IF label !~ '^[A-Za-z0-9_]{1,64}$' THEN
        RAISE EXCEPTION 'label % given; valid: letters, digits and _', label;
    END IF;
    name := format('airflow-%s-%s.dump',
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"'), label);
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', '/opt/dairflow/dump.sh ' || name);
    RETURN name;
END
$function$;

REVOKE ALL ON FUNCTION dairflow.dump_database(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION dairflow.dump_database(text) TO airflow;

