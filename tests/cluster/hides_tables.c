/*
 * Hides a table named "hidden" from queries of pg_class in background workers, as Citus hides its shards: by a condition that
 * is added when a query is planned. Two settings: Citus' own, which turns it off, and one that has it hide all the same.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void _PG_init(void);

static bool hides = true;
static bool always = false;
static planner_hook_type next = NULL;

/* The operator <> of the type name. */
#define NAME_NE_OPERATOR 643

static Node *
is_not_hidden(int relation)
{
    Oid collation = 950; /* "C" */
    Var *name = makeVar(relation, Anum_pg_class_relname, NAMEOID, -1, collation, 0);
    Datum hidden = DirectFunctionCall1(namein, CStringGetDatum("hidden"));
    Const *value = makeConst(NAMEOID, -1, collation, NAMEDATALEN, hidden, false, false);

    return (Node *) make_opclause(NAME_NE_OPERATOR, BOOLOID, false, (Expr *) name, (Expr *) value, InvalidOid,
                                  collation);
}

static bool
hide(Node *node, void *context)
{
    if (node == NULL)
        return false;
    if (IsA(node, Query))
    {
        Query *query = (Query *) node;
        ListCell *cell;
        int relation = 0;

        foreach(cell, query->rtable)
        {
            RangeTblEntry *entry = lfirst(cell);

            relation++;
            if (entry->rtekind == RTE_RELATION && entry->relid == RelationRelationId)
                query->jointree->quals = make_and_qual(query->jointree->quals, is_not_hidden(relation));
        }
        return query_tree_walker(query, hide, context, 0);
    }
    return expression_tree_walker(node, hide, context);
}

static PlannedStmt *
plan(Query *query, const char *text, int options, ParamListInfo parameters)
{
    if (MyBackendType == B_BG_WORKER && !IsParallelWorker() && (hides || always))
        hide((Node *) query, NULL);
    return next ? next(query, text, options, parameters) : standard_planner(query, text, options, parameters);
}

void
_PG_init(void)
{
    DefineCustomBoolVariable("citus.override_table_visibility", "", NULL, &hides, true, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomBoolVariable("hides_tables.always", "", NULL, &always, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
    next = planner_hook;
    planner_hook = plan;
}
