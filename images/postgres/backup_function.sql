CREATE OR REPLACE FUNCTION dairflow.back_up(reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF current_setting('archive_mode') = 'off' THEN
        RETURN;
    END IF;
    IF reason !~ '^[A-Za-z0-9_]{1,64}$' THEN
        RAISE EXCEPTION 'reason % given; valid: letters, digits and _', reason;
    END IF;
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', '/opt/dairflow/back_up.sh incr ' || reason);
END
$function$;

REVOKE ALL ON FUNCTION dairflow.back_up(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION dairflow.back_up(text) TO airflow;

