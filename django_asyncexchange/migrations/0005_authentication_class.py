from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("asyncexchange", "0004_turns"),
    ]

    operations = [
        migrations.AddField(
            model_name="asynctask",
            name="authentication_class",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=255),
        ),
    ]
