-- The ledger's guards: whoever writes postings, they sum to zero, fill and empty the lots they name, and stay.

-- Wallets stay as they are until the end of the transaction. Everything that goes by wallets calls it first;
-- ledger_change_wallets, before wallets are changed, waits for all of those and lets no new one begin. The transaction
-- has its number from here on, before it numbers a transfer: that is how the sealer knows of it.
CREATE OR REPLACE FUNCTION ledger_keep_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_current_xact_id();
    SELECT pg_advisory_xact_lock_shared(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

CREATE OR REPLACE FUNCTION ledger_change_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

CREATE OR REPLACE FUNCTION ledger_wallet_of(p_owner text, p_holder text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT wallet FROM ledger_wallet WHERE owner = p_owner AND holder = p_holder), p_holder)
$$;

-- All postings of a transfer come in one statement, as lines 1, 2, …, and sum to zero for each asset. Those of a
-- member's account name a lot of it, no others do. Balances of members and arrears, and lots, move with them; only a
-- lot that was made with what the postings of its own transfer leave in it, and no more, has moved already.
-- No other transfer is posted to a lot before its own: so a lot that these find as they leave it was made so.
-- However many come first in a session, each account, lot and transfer is an index look-up: hence the settings.
CREATE OR REPLACE FUNCTION ledger_guard_postings() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_wrong bigint;
    v_lots bigint;
    v_matched bigint;
    v_early boolean;
BEGIN
    WITH lotted AS MATERIALIZED (
        SELECT lot.id, lot.transfer_id, lot.remaining, count(*) AS postings,
            coalesce(sum(posting.amount) FILTER (WHERE posting.transfer_id = lot.transfer_id), 0)::bigint AS born,
            coalesce(sum(posting.amount) FILTER (WHERE posting.transfer_id <> lot.transfer_id), 0)::bigint AS later,
            bool_or(posting.transfer_id = lot.transfer_id) AS is_born
        FROM new_posting AS posting
        JOIN points_lot AS lot ON lot.id = posting.lot_id AND lot.account_id = posting.account_id
        GROUP BY lot.id
    ), filled AS (
        UPDATE points_lot AS lot
        SET remaining = lot.remaining + lotted.later + CASE WHEN lotted.remaining = 0 THEN lotted.born ELSE 0 END
        FROM lotted
        WHERE lot.id = lotted.id AND (lotted.later <> 0 OR (lotted.remaining = 0 AND lotted.born <> 0))
    ), moved AS (
        UPDATE ledger_account AS account SET balance = account.balance + moved.amount
        FROM (SELECT account_id, sum(amount)::bigint AS amount FROM new_posting GROUP BY account_id) AS moved
        WHERE account.id = moved.account_id AND account.kind IN ('member', 'arrears')
    ), posted AS (
        SELECT posting.transfer_id, account.asset_id, count(*) AS postings, count(posting.lot_id) AS lots,
            min(posting.line) AS first, max(posting.line) AS last,
            sum(posting.amount) <> 0 OR bool_or((posting.lot_id IS NULL) = (account.kind = 'member')) AS wrong
        FROM new_posting AS posting LEFT JOIN ledger_account AS account ON account.id = posting.account_id
        GROUP BY posting.transfer_id, account.asset_id
    ), entry AS (
        SELECT posted.transfer_id, sum(posted.lots) AS lots, min(asset.owner) AS owner,
            bool_or(posted.wrong) OR min(posted.first) <> 1 OR max(posted.last) <> sum(posted.postings)
                OR count(asset.id) <> count(*) OR min(asset.owner) <> max(asset.owner) AS wrong
        FROM posted LEFT JOIN ledger_asset AS asset ON asset.id = posted.asset_id
        GROUP BY posted.transfer_id
    )
    SELECT min(entry.transfer_id) FILTER (WHERE entry.wrong OR (transfer.owner = entry.owner) IS NOT TRUE),
        sum(entry.lots), (SELECT sum(postings) FROM lotted),
        (SELECT bool_or(CASE WHEN lotted.is_born THEN lotted.remaining NOT IN (0, lotted.born) ELSE NOT EXISTS (
            SELECT FROM ledger_posting AS own
            WHERE own.transfer_id = lotted.transfer_id AND own.lot_id = lotted.id) END) FROM lotted)
    INTO v_wrong, v_lots, v_matched, v_early
    FROM entry LEFT JOIN ledger_transfer AS transfer ON transfer.id = entry.transfer_id;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'transfer %: its postings must be lines 1, 2, … of one statement, sum to zero for each asset '
            'of its owner, and name a lot where, and only where, the account is a member''s', v_wrong
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF v_lots <> coalesce(v_matched, 0) THEN
        RAISE EXCEPTION 'a posting names a lot that is not one of its account' USING
            ERRCODE = 'integrity_constraint_violation';
    ELSIF v_early THEN
        RAISE EXCEPTION 'a posting names a lot to which the transfer that made it has not been posted' USING
            ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ledger_posting_guard AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS new_posting FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard_postings();

-- A lot that is not empty is made together with the postings of its transfer, and has what they leave in it.
CREATE OR REPLACE FUNCTION ledger_guard_lots() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_lot AS lot
        WHERE lot.remaining <> 0 AND lot.remaining IS DISTINCT FROM (
            SELECT sum(posting.amount) FROM ledger_posting AS posting
            WHERE posting.transfer_id = lot.transfer_id AND posting.lot_id = lot.id
                AND posting.account_id = lot.account_id))
    THEN
        RAISE EXCEPTION 'points_lot cannot be changed in this way (INSERT): a lot has what its transfer posts to it; '
            'leave it empty, or insert both in one statement' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER points_lot_guard AFTER INSERT ON points_lot
REFERENCING NEW TABLE AS new_lot FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard_lots();

-- What nothing but a new posting may change.
CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% cannot be changed in this way (%); post a transfer that corrects it', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE OR REPLACE TRIGGER ledger_transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_posting_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_seal_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seal
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_stays BEFORE DELETE OR TRUNCATE ON points_lot
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_stays BEFORE DELETE OR TRUNCATE ON ledger_account
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_is_what_it_is BEFORE UPDATE OF asset_id, kind, holder ON ledger_account
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_is_what_it_is
BEFORE UPDATE OF account_id, transfer_id, issuer, cost_micro, earned_at, expires_at, amount ON points_lot
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Inside the guard above the depth is 1.
CREATE OR REPLACE TRIGGER points_lot_moves_by_postings BEFORE UPDATE OF remaining ON points_lot
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER points_lot_starts_unheld BEFORE INSERT ON points_lot
FOR EACH ROW WHEN (NEW.held <> 0) EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_moves_by_postings BEFORE UPDATE OF balance ON ledger_account
FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND OLD.kind IN ('member', 'arrears'))
EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_account_starts_empty BEFORE INSERT ON ledger_account
FOR EACH ROW WHEN (NEW.balance <> 0 OR NEW.held <> 0) EXECUTE FUNCTION ledger_refuse_change();
